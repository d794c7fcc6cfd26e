"""New tokens from a model, one after another."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.domain import Domain
from geodl.domain.base import positive
from geodl.errors import GeodlError
from geodl.layer import Layer, evaluated
from geodl.signal import Signal


def generate(
    model: Layer,
    tokens: Tensor,
    count: int,
    *,
    sender: Signal | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    until: int | None = None,
    generator: torch.Generator | None = None,
    context: int | None = None,
) -> Tensor:
    """Continue sequences: each new token is drawn from what the model says after the ones before,
    in evaluation mode.

    A new token costs one step of `model.step`, and all of them are those that full passes would
    give.

    Args:
        model: gives logits `[B, T, V]` of the next token; causal, or an encoder-decoder.
        tokens: the beginning `[B, T]`, torch.long, of one length at least 1 (as `<bos>`).
        count: how many to add.
        sender: the second signal, of encoder-decoders: B rows, or B members (those of one length
            are decoded together).
        temperature: divides the logits; 0 takes the likeliest token.
        top_k: draw among the k likeliest only.
        until: the id that ends a row; from there on the row holds this id.
        generator: of the draws.
        context: what a token hears at most: once there are more, the last `context` are read anew
            for each new token. None hears all of them; a model with `LearnedPositions` then refuses
            to go on at the end of its table.

    Returns:
        `[B, T + count]`, the beginning and what follows it.

    Raises:
        GeodlError: nothing to begin with, numbers out of range, a model that hears tokens to come,
            too long a sequence.

    >>> from geodl.models import char_rnn
    >>> generate(char_rnn(65), torch.zeros(2, 1, dtype=torch.long), 5).shape
    torch.Size([2, 6])
    """
    _check(model, tokens, count, temperature, top_k, until, context)
    draw = partial(_drawn, temperature=temperature, top_k=top_k, generator=generator)
    found = tokens.new_empty(len(tokens), tokens.shape[1] + count)
    with evaluated(model):
        for rows, heard in _alike(sender, len(tokens)):
            found[rows] = _continued(model, tokens[rows], count, heard, draw, until, context)
    return found


def _continued(
    model: Layer,
    ids: Tensor,
    count: int,
    sender: Signal | None,
    draw: Callable[[Tensor], Tensor],
    until: int | None,
    context: int | None,
) -> Tensor:
    """Rows `[B, T]` that hear senders of one kind, with `count` more tokens."""
    length, state, seen = ids.shape[1] + count, None, 0
    ended = torch.zeros(len(ids), 1, dtype=torch.bool, device=ids.device)
    while ids.shape[1] < length and not (ended.all() and until is not None):
        if context is not None and ids.shape[1] > context:
            state, seen = None, ids.shape[1] - context
        said, state = model.step(Signal.tokens(ids[:, seen:]), state, sender)
        seen, new = ids.shape[1], draw(said.x[:, -1])
        if until is not None:
            if not 0 <= until < said.x.shape[2]:
                raise GeodlError(
                    f"generate(until={until})",
                    f"{said.x.shape[2]} symbols",
                    "give the number of one of them",
                )
            new = new.masked_fill(ended, until)
            ended = new == until
        ids = torch.cat((ids, new), 1)
    return F.pad(ids, (0, length - ids.shape[1]), value=until or 0)


def _drawn(
    logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator | None
) -> Tensor:
    """One token for each row of logits `[B, V]`: `[B, 1]`."""
    if not logits.amax(-1).isfinite().all():
        raise GeodlError(
            "generate",
            "scores that are not finite",
            "look at the model's weights, and at how it was trained",
        )
    if temperature == 0:
        return logits.argmax(-1, keepdim=True)
    logits = (
        logits - logits.amax(-1, keepdim=True)
    ).double() / temperature  # no temperature is too small
    if top_k is not None and top_k < logits.shape[-1]:
        kept = logits.topk(top_k)
        logits = torch.full_like(logits, -torch.inf).scatter(1, kept.indices, kept.values)
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)


def _alike(sender: Signal | None, rows: int) -> list[tuple[Any, Signal | None]]:
    """Rows whose senders live on equal domains, with these senders."""
    if sender is not None and not isinstance(sender, Signal):
        raise GeodlError(
            "generate from a second signal",
            f"a {type(sender).__name__}",
            "give a Signal, as Signal.tokens(ids)",
        )
    if sender is None or sender.domain.members is None:
        return [(slice(None), sender)]
    if (sender.x.shape[0], sender.domain.num_members) != (1, rows):
        found = (
            f"{sender.x.shape[0]} of {sender.domain.num_members} senders for {rows} rows of tokens"
        )
        raise GeodlError("generate", found, "give one sender for each row")
    groups: dict[Domain, list[int]] = {}
    for row, member in enumerate(sender.domain.members):
        groups.setdefault(member, []).append(row)
    values = sender.x.split([member.num_nodes for member in sender.domain.members], dim=1)
    return [
        (found, Signal(torch.cat([values[row] for row in found]), member))
        for member, found in groups.items()
    ]


def _check(
    model: Any, tokens: Any, count: int, temperature: float, top_k: Any, until: Any, context: Any
) -> None:
    if not isinstance(model, Layer):
        raise GeodlError(
            "generate",
            f"a {type(model).__name__}",
            "give a Layer with logits of the next token, as models.gpt(...)",
        )
    if not isinstance(tokens, Tensor) or tokens.dtype != torch.long or tokens.dim() != 2:
        found = (
            f"{tokens.dtype} of shape {list(tokens.shape)}"
            if isinstance(tokens, Tensor)
            else f"a {type(tokens).__name__}"
        )
        raise GeodlError("generate from tokens", found, "give a torch.long tensor [B, T]")
    if tokens.shape[1] == 0:
        raise GeodlError(
            "generate from tokens",
            "no token to begin with",
            "give at least one, as <bos> or a line break",
        )
    if not 0 <= temperature < float("inf"):
        raise GeodlError(
            f"generate(temperature={temperature})",
            do="give 0 for the likeliest token, or a positive number",
        )
    if until is not None and (type(until) is not int or until < 0):
        raise GeodlError(f"generate(until={until!r})", do="give the id that ends a row")
    asked = f"generate(count={count!r}, top_k={top_k!r}, context={context!r})"
    positive(asked, count, *(n for n in (top_k, context) if n is not None))

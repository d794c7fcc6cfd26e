"""New tokens from a model, one after another."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.domain import Domain
from geodl.errors import GeodlError, positive
from geodl.layer import Layer, evaluated
from geodl.layer.folding import members_to_batch, state_to_batch
from geodl.signal import Signal, select_members


class Sampler(NamedTuple):
    """How the next token is drawn from logits; the fields are arguments of :func:`generate`."""

    temperature: float
    top_k: int | None
    generator: torch.Generator | None

    def draw(self, logits: Tensor) -> Tensor:
        """One token for each row of logits `[B, V]`: `[B, 1]`.

        Raises:
            GeodlError: if the largest logit of a row is not finite.
        """
        highest = logits.amax(-1, keepdim=True)
        if not highest.isfinite().all():
            raise GeodlError(
                "generate",
                "scores that are not finite",
                "look at the model's weights, and at how it was trained",
            )
        if self.temperature == 0:
            return logits.argmax(-1, keepdim=True)
        # Shifted so that the largest is 0 and in double precision, no temperature is too small: the
        # others become -inf at worst, and the softmax stays defined.
        logits = (logits - highest).double() / self.temperature
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            kept = logits.topk(self.top_k)
            logits = torch.full_like(logits, -torch.inf).scatter(1, kept.indices, kept.values)
        return torch.multinomial(logits.softmax(-1), 1, generator=self.generator)


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
    """Continue sequences: each new token is drawn from softmax(logits / temperature) after the last
    one, with the model in evaluation mode.

    A new token costs one call of `model.step`; the result is that of full passes over all tokens.

    Args:
        model: gives logits `[B, T, V]` of the next token; causal, or an encoder-decoder.
        tokens: the beginnings `[B, T]`, torch.long, all of one length T >= 1 (as `<bos>`).
        count: number of tokens to add.
        sender: the second signal of an encoder-decoder: B rows, or B members of a Batch (members of
            equal size are decoded together).
        temperature: divides the logits; 0 takes the most probable token.
        top_k: draw among the k most probable tokens only.
        until: id of the end-of-sequence token; a row that has drawn it is filled with it.
        generator: the random number generator of the draws.
        context: the most tokens that the model can read (the `context` of `gpt`). Beyond it the
            last `context` tokens are run again for each new one, without a cache. None sets no
            bound; a model with `LearnedPositions` then stops with an error at the end of its table.

    Returns:
        `[B, T + count]`, the beginnings and what follows them.

    Raises:
        GeodlError: if the beginning is empty, a number is out of range, the model is not causal, or
            the sequence is too long for the model.

    >>> from geodl.models import char_rnn
    >>> generate(char_rnn(65), torch.zeros(2, 1, dtype=torch.long), 5).shape
    torch.Size([2, 6])
    """
    _check_tokens(model, tokens)
    _check_numbers(count, temperature, top_k, until, context)
    if not isinstance(generator, torch.Generator | None):
        found = f"a generator that is a {type(generator).__name__}"
        raise GeodlError("generate", found, "give torch.Generator().manual_seed(0)")
    sampler = Sampler(temperature, top_k, generator)
    result = tokens.new_empty(len(tokens), tokens.shape[1] + count)
    with evaluated(model):
        for rows, source in _groups_of_equal_senders(sender, len(tokens)):
            result[rows] = _continue(model, tokens[rows], count, source, sampler, until, context)
    return result


def _continue(
    model: Layer,
    ids: Tensor,
    count: int,
    sender: Signal | None,
    sampler: Sampler,
    until: int | None,
    context: int | None,
) -> Tensor:
    """Rows `[B, T]` whose senders live on one domain, with `count` more tokens."""
    length = ids.shape[1] + count
    state, num_read = None, 0
    ended = torch.zeros(len(ids), 1, dtype=torch.bool, device=ids.device)
    while ids.shape[1] < length and not (until is not None and ended.all()):
        if context is not None and ids.shape[1] > context:
            state, num_read = None, ids.shape[1] - context
        logits, state = model.step(Signal.tokens(ids[:, num_read:]), state, sender)
        num_read = ids.shape[1]
        new = sampler.draw(logits.x[:, -1])
        if until is not None:
            _check_until(until, logits.x.shape[2])
            new = new.masked_fill(ended, until)
            ended = new == until
        ids = torch.cat((ids, new), 1)
    # Only rows that have all ended are shorter, and they are filled with the token that ends them.
    return F.pad(ids, (0, length - ids.shape[1]), value=until or 0)


def _groups_of_equal_senders(
    sender: Signal | None, rows: int
) -> list[tuple[slice | list[int], Signal | None]]:
    """Rows whose senders live on equal domains, each group with the signal of its senders."""
    if sender is None:
        return [(slice(None), None)]
    if not isinstance(sender, Signal):
        raise GeodlError(
            "generate from a second signal",
            f"a {type(sender).__name__}",
            "give a Signal, as Signal.tokens(ids)",
        )
    members = sender.domain.members
    if members is None:
        return [(slice(None), sender)]
    if (sender.x.shape[0], len(members)) != (1, rows):
        found = f"{sender.x.shape[0]} of {len(members)} senders for {rows} rows of tokens"
        raise GeodlError("generate", found, "give one sender for each row")
    groups: dict[Domain, list[int]] = {}
    for row, member in enumerate(members):
        groups.setdefault(member, []).append(row)
    found = []
    for member, of_member in groups.items():
        chosen, _ = select_members(sender, torch.tensor(of_member))
        x = members_to_batch(chosen.x, len(of_member))
        edges, whole = state_to_batch(chosen, len(of_member))
        found.append((of_member, Signal(x, member, edges, whole)))
    return found


def _check_tokens(model: Any, tokens: Any) -> None:
    """Refuse what is not a layer, and tokens that are not integers `[B, T]`, or empty."""
    if not isinstance(model, Layer):
        raise GeodlError(
            "generate",
            f"a {type(model).__name__}",
            "give a Layer with logits of the next token, as models.gpt(...)",
        )
    do = "give a torch.long tensor [B, T]"
    if not isinstance(tokens, Tensor):
        raise GeodlError("generate from tokens", f"a {type(tokens).__name__}", do)
    if tokens.dtype != torch.long or tokens.dim() != 2:
        found = f"{tokens.dtype} of shape {list(tokens.shape)}"
        raise GeodlError("generate from tokens", found, do)
    if tokens.shape[1] == 0:
        raise GeodlError(
            "generate from tokens",
            "no token to begin with",
            "give at least one, as <bos> or a line break",
        )


def _check_numbers(count: Any, temperature: Any, top_k: Any, until: Any, context: Any) -> None:
    """Refuse numbers out of range."""
    if not isinstance(temperature, int | float) or not 0 <= temperature < float("inf"):
        raise GeodlError(
            f"generate(temperature={temperature!r})",
            do="give 0 for the most probable token, or a positive number",
        )
    if until is not None and (type(until) is not int or until < 0):
        raise GeodlError(f"generate(until={until!r})", do="give the id that ends a row")
    asked = f"generate(count={count!r}, top_k={top_k!r}, context={context!r})"
    given = [number for number in (top_k, context) if number is not None]
    for number in (count, *given):
        positive(asked, number)


def _check_until(until: int, symbols: int) -> None:
    """Refuse a token that the model does not have."""
    if until >= symbols:
        raise GeodlError(
            f"generate(until={until})", f"{symbols} symbols", "give the number of one of them"
        )

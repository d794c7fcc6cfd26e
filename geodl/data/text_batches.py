"""From numbers to batches: windows of a long text, sequences of several lengths side by side."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from geodl.errors import GeodlError


def blocks(
    ids: Tensor, length: int, *, batch: int, generator: Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Random windows of a text: `inputs[b, t] = ids[s_b + t]`, `targets[b, t] = ids[s_b + t + 1]`,
    s_b uniform.

    Args:
        ids: `[N]` integers.
        length: T, of every window.
        batch: B, how many windows.
        generator: where the s_b come from; torch's own if there is none.

    Returns:
        Inputs and targets, both `[B, T]`, contiguous, where `ids` is.

    Raises:
        GeodlError: `ids` is no vector of integers, or not longer than a window; a size below 1.

    >>> import geodl as g, torch
    >>> generator = torch.Generator().manual_seed(0)
    >>> inputs, targets = g.data.blocks(torch.arange(100), 4, batch=2, generator=generator)
    >>> bool((targets == inputs + 1).all()), inputs.shape
    (True, torch.Size([2, 4]))
    """
    _check_text(ids, length)
    if batch < 1:
        raise GeodlError(f"{batch} windows", do="ask for at least one")
    device = generator.device if generator is not None else "cpu"
    starts = torch.randint(len(ids) - length, (batch, 1), generator=generator, device=device).to(
        ids.device
    )
    places = starts + torch.arange(length, device=ids.device)
    return ids[places], ids[places + 1]


def windows(ids: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """A text cut into windows side by side: `inputs[m, t] = ids[m T + t]`, `targets[m, t] = ids[m T
    + t + 1]`.

    Every prediction is made once, but for less than T at the end: what a loss over a whole text is
    the mean of.

    Args:
        ids: `[N]` integers.
        length: T, of every window.

    Returns:
        Inputs and targets, both `[M, T]` with M = (N - 1) // T.

    Raises:
        GeodlError: `ids` is no vector of integers, or not longer than a window; a length below 1.

    >>> import geodl as g, torch
    >>> g.data.windows(torch.arange(8), 3)
    (tensor([[0, 1, 2],
            [3, 4, 5]]), tensor([[1, 2, 3],
            [4, 5, 6]]))
    """
    _check_text(ids, length)
    count = (len(ids) - 1) // length
    inputs, targets = ids[: count * length], ids[1 : count * length + 1]
    return inputs.reshape(count, length), targets.reshape(count, length)


def padded(sequences: Sequence[Tensor], fill: int) -> tuple[Tensor, Tensor]:
    """Sequences side by side, filled up at the end to the longest.

    Args:
        sequences: B vectors `[T_b]` of integers, on one device; T is the largest T_b. One may be
            empty: its mask is all False.
        fill: what stands after the end, as the number of `<pad>`.

    Returns:
        The numbers `[B, T]`, and a mask `[B, T]`, True where `t < T_b`.

    Raises:
        GeodlError: a member that is no vector of integers, or of another type or device than the
            first: it is named.

    >>> import geodl as g, torch
    >>> g.data.padded([torch.tensor([5, 6, 7]), torch.tensor([8])], 0)
    (tensor([[5, 6, 7],
            [8, 0, 0]]), tensor([[ True,  True,  True],
            [ True, False, False]]))
    """
    if not sequences:
        return torch.zeros(0, 0, dtype=torch.int64), torch.zeros(0, 0, dtype=torch.bool)
    first = sequences[0]
    for place, ids in enumerate(sequences):
        if not _is_vector(ids) or (ids.dtype, ids.device) != (first.dtype, first.device):
            found = f"{_said(ids)} at place {place}"
            raise GeodlError(
                "sequences side by side",
                found,
                "give vectors of integers, all of one type and on one device",
            )
    ids = torch.nn.utils.rnn.pad_sequence(list(sequences), batch_first=True, padding_value=fill)
    lengths = torch.tensor([len(sequence) for sequence in sequences], device=first.device)
    return ids, torch.arange(ids.shape[1], device=first.device) < lengths.unsqueeze(1)


def bucketed(
    lengths: Sequence[int] | Tensor, batch: int, *, generator: Generator | None = None
) -> list[list[int]]:
    """Places of sequences in batches of neighbours in length, so that little is filled up; every
    place once.

    Sequences of one length come in random order, and so do the batches: each call is a new epoch.
    The list serves as the `batch_sampler` of a DataLoader.

    Args:
        lengths: of the sequences, `[M]`.
        batch: how many places in a batch; the last in length may have fewer.
        generator: where the order comes from; torch's own if there is none.

    Raises:
        GeodlError: `batch` below 1; lengths that are no vector of integers.

    >>> import geodl as g, torch
    >>> generator = torch.Generator().manual_seed(0)
    >>> sorted(map(sorted, g.data.bucketed([9, 2, 8, 1], 2, generator=generator)))
    [[0, 2], [1, 3]]
    """
    if batch < 1:
        raise GeodlError(f"batches of {batch}", do="ask for at least 1")
    known = torch.as_tensor(lengths, device="cpu")
    if len(known) == 0:
        return []
    if not _is_vector(known):
        raise GeodlError("batches by length", f"lengths of {_said(known)}", "give integers [M]")
    mixed = torch.randperm(len(known), generator=generator)
    order = mixed[known[mixed].argsort(stable=True)]
    groups = [group.tolist() for group in order.split(batch)]
    return [groups[i] for i in torch.randperm(len(groups), generator=generator).tolist()]


def _check_text(ids: Tensor, length: int) -> None:
    if not _is_vector(ids):
        raise GeodlError("windows of a text", _said(ids), "give its numbers, integers [N]")
    if not 1 <= length < len(ids):
        do = f"give a length from 1 to {len(ids) - 1}" if len(ids) > 1 else "give a longer text"
        raise GeodlError(f"windows of {length} and one target more", f"a text of {len(ids)}", do)


def _is_vector(ids: Tensor) -> bool:
    return (
        ids.ndim == 1
        and not ids.is_floating_point()
        and not ids.is_complex()
        and ids.dtype != torch.bool
    )


def _said(ids: Tensor) -> str:
    return f"shape {list(ids.shape)} of {ids.dtype}"

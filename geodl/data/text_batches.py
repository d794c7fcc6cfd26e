"""From numbers to batches: windows of a long text, sequences of several lengths side by side."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from geodl.data.arguments import check_count, check_vector, describe, is_vector
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
        GeodlError: if `ids` is not a vector of integers, or not longer than a window; if a size is
            below 1.

    >>> import geodl as g, torch
    >>> generator = torch.Generator().manual_seed(0)
    >>> inputs, targets = g.data.blocks(torch.arange(100), 4, batch=2, generator=generator)
    >>> bool((targets == inputs + 1).all()), inputs.shape
    (True, torch.Size([2, 4]))
    """
    length = _check_windows(ids, length)
    batch = check_count(f"{batch} windows", batch)
    device = torch.device("cpu")
    if generator is not None:
        device = generator.device
    # N - T starts: the target of the last place of a window is the token after it.
    starts = torch.randint(len(ids) - length, (batch, 1), generator=generator, device=device)
    places = starts.to(ids.device) + torch.arange(length, device=ids.device)
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
        GeodlError: if `ids` is not a vector of integers, or not longer than a window; if a length
            is below 1.

    >>> import geodl as g, torch
    >>> g.data.windows(torch.arange(8), 3)
    (tensor([[0, 1, 2],
            [3, 4, 5]]), tensor([[1, 2, 3],
            [4, 5, 6]]))
    """
    length = _check_windows(ids, length)
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
        GeodlError: if a member is not a vector of integers, or has another dtype or device than the
            first; it is named.

    >>> import geodl as g, torch
    >>> g.data.padded([torch.tensor([5, 6, 7]), torch.tensor([8])], 0)
    (tensor([[5, 6, 7],
            [8, 0, 0]]), tensor([[ True,  True,  True],
            [ True, False, False]]))
    """
    asked = "sequences side by side"
    if not isinstance(sequences, list | tuple):
        raise GeodlError(asked, describe(sequences), "give a list of vectors of integers")
    if isinstance(fill, bool) or not isinstance(fill, int):
        raise GeodlError(f"{asked}, fill={fill!r}", describe(fill), "give an integer")
    if not sequences:
        return torch.zeros(0, 0, dtype=torch.int64), torch.zeros(0, 0, dtype=torch.bool)
    first = sequences[0]
    for place, ids in enumerate(sequences):
        if not is_vector(ids) or ids.dtype != first.dtype or ids.device != first.device:
            do = "give vectors of integers, as torch.tensor([5, 6]), of one type and on one device"
            raise GeodlError(asked, f"{describe(ids)} at place {place}", do)
    ids = torch.nn.utils.rnn.pad_sequence(list(sequences), batch_first=True, padding_value=fill)
    lengths = torch.tensor([len(sequence) for sequence in sequences], device=first.device)
    return ids, torch.arange(ids.shape[1], device=first.device) < lengths.unsqueeze(1)


def bucketed(
    lengths: Sequence[int] | Tensor, batch: int, *, generator: Generator | None = None
) -> list[list[int]]:
    """Places of sequences in batches of neighbors in length, so that little is filled up; every
    place once.

    Sequences of one length come in random order, and so do the batches: each call is a new epoch.
    The list serves as the `batch_sampler` of a DataLoader.

    Args:
        lengths: of the sequences, `[M]`.
        batch: how many places in a batch; the last in length may have fewer.
        generator: where the order comes from; torch's own if there is none.

    Raises:
        GeodlError: if `batch` is below 1; if the lengths are not a vector of integers.

    >>> import geodl as g, torch
    >>> generator = torch.Generator().manual_seed(0)
    >>> sorted(map(sorted, g.data.bucketed([9, 2, 8, 1], 2, generator=generator)))
    [[0, 2], [1, 3]]
    """
    batch = check_count(f"batches of {batch}", batch)
    asked, do = "batches by length", "give the lengths, integers [M]"
    try:
        known = torch.as_tensor(lengths, device="cpu")
    except (TypeError, ValueError, RuntimeError) as error:
        raise GeodlError(asked, f"{describe(lengths)} of other things", do) from error
    if known.shape == (0,):
        return []
    check_vector(asked, known, do)
    mixed = torch.randperm(len(known), generator=generator)
    order = mixed[known[mixed].argsort(stable=True)]
    groups = [group.tolist() for group in order.split(batch)]
    return [groups[i] for i in torch.randperm(len(groups), generator=generator).tolist()]


def _check_windows(ids: Tensor, length: int) -> int:
    """The length of a window, if the text has one and a target more."""
    asked = f"windows of {length} and one target more"
    check_vector("windows of a text", ids, "give its numbers [N], as vocabulary.encode(text)")
    length = check_count(asked, length, do="give a length from 1 on")
    if len(ids) < 2:
        raise GeodlError(asked, f"a text of {len(ids)}", "give a longer text")
    if length >= len(ids):
        do = f"give a length from 1 to {len(ids) - 1}"
        raise GeodlError(asked, f"a text of {len(ids)}", do)
    return length

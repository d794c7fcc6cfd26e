"""Several signals as one: what a DataLoader makes of a batch of them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data._utils.collate import default_collate_fn_map

from geodl.domain import Batch, same_place
from geodl.domain.stackable import check_stackable
from geodl.errors import GeodlError
from geodl.signal.base import Signal


def collate(signals: Sequence[Signal]) -> Signal:
    """Several signals as one; `torch.utils.data.DataLoader` calls it by itself.

    Signals on one domain become entries of its batch axis, `[sum B, N, C]`; signals of batch 1 on
    different domains stand side by side on a Batch, `[1, sum N, C]`. Their edges and globals go
    along, where all of them have some.

    Args:
        signals: dense signals of one dtype, device and number of channels.

    Raises:
        GeodlError: if there are no signals, if they are sparse or differ in channels or dtype, or
            if their domains differ while one has more than one entry on the batch axis; if some
            lack edges or globals, or differ in their channels or dtype.

    >>> from geodl.domain import Chain
    >>> rows = [Signal(torch.zeros(1, 3, 2), Chain(3)), Signal(torch.zeros(1, 5, 2), Chain(5))]
    >>> collate(rows).domain
    Batch(2 members: Chain(3), Chain(5))
    """
    if not isinstance(signals, Sequence):
        found = f"a {type(signals).__name__}"
        raise GeodlError("collate(signals)", found, "give a list of Signals")
    others = [one for one in signals if not isinstance(one, Signal)]
    if others:
        found = f"a {type(others[0]).__name__} among them"
        raise GeodlError("collate(signals)", found, "give a list of Signals")
    asked = f"collate of {len(signals)} signals"
    _check_alike(asked, signals)
    first = signals[0].domain
    # One domain keeps its plans, and its entries stand on the batch axis as in any training step.
    if all(same_place(first, s.domain) for s in signals):
        edges, state = (_joined(asked, signals, name, axis=0) for name in ("edges", "globals"))
        return Signal(torch.cat([s.x for s in signals]), first, edges, state)
    return stand_beside(asked, signals)


def stand_beside(asked: str, signals: Sequence[Signal]) -> Signal:
    """Signals of batch 1 side by side on a Batch, equal domains too: `[1, sum N, C]`.

    Args:
        asked: the beginning of the error.
        signals: as for :func:`collate`.
    """
    _check_alike(asked, signals)
    batches = sorted({s.shape[0] for s in signals})
    if batches != [1]:
        found = f"different domains, and batches of {batches}"
        raise GeodlError(asked, found, "give signals on one domain, or of batch 1 each")
    if len(signals) == 1 and signals[0].domain.is_union:
        return signals[0]
    members = [member for s in signals for member in s.domain.members or (s.domain,)]
    # Links and members of a Batch are numbered member after member, as its nodes are.
    edges, state = (_joined(asked, signals, name, axis=1) for name in ("edges", "globals"))
    domain = Batch(members).to(signals[0].device)
    return Signal(torch.cat([s.x for s in signals], dim=1), domain, edges, state)


def select_members(signal: Signal, numbers: Tensor) -> tuple[Signal, Tensor]:
    """Some members of a signal on a Batch, with their edges and globals; and the nodes that they
    are.

    Args:
        signal: `[1, N, C]` on a Batch.
        numbers: `[D']` of torch.long on the CPU, in the order in which members are wanted.

    >>> from geodl.domain import Chain
    >>> s = Signal(torch.arange(5.0).view(1, 5, 1), Batch([Chain(2), Chain(3)]))
    >>> select_members(s, torch.tensor([1]))[0].x.flatten().tolist()
    [2.0, 3.0, 4.0]
    """
    selection = signal.domain.select(numbers)
    domain, nodes = selection.domain, selection.nodes
    edges, state = signal.edges, signal.globals
    # Rows of edges, nodes and members are gathered by the same choice, each from its own table.
    if edges is not None:
        edges = edges.index_select(1, selection.links)
    if state is not None:
        state = state.index_select(1, numbers.to(state.device))
    return Signal(signal.x.index_select(1, nodes), domain, edges, state), nodes


def in_groups(signal: Signal, sizes: Sequence[int]) -> list[Signal]:
    """A signal on a Batch as several, on so many of its members each, with edges and globals.

    Args:
        signal: `[1, N, C]` on a Batch whose links stand member after member.
        sizes: the members of each group.
    """
    domains = signal.domain.in_groups(sizes)
    columns = [
        _split(signal.x, [domain.num_nodes for domain in domains]),
        _split(signal.edges, [domain.num_links for domain in domains]),
        _split(signal.globals, sizes),
    ]
    return [
        Signal(x, domain, edges, state)
        for domain, x, edges, state in zip(domains, *columns, strict=True)
    ]


def _split(rows: Tensor | None, sizes: Sequence[int]) -> Sequence[Tensor | None]:
    """Values `[1, R, C]` in pieces of so many rows; None for each where there are none."""
    if rows is None:
        return [None] * len(sizes)
    # Pieces that a user may change in place, each without a word to the others.
    return torch.unsafe_split_with_sizes(rows, list(sizes), dim=1)


def _check_alike(asked: str, signals: Sequence[Signal]) -> None:
    """Refuse signals whose values cannot stand in one tensor."""
    if not signals:
        raise GeodlError(asked, "no signals", "give one at least")
    if any(s.x.layout != torch.strided for s in signals):
        raise GeodlError(asked, "sparse values", "give dense ones: x.to_dense()[None]")
    check_stackable(asked, "signal", "x", [s.x for s in signals], free=2)


def _joined(asked: str, signals: Sequence[Signal], name: str, axis: int) -> Tensor | None:
    """The edges or globals of several signals as one tensor; None where none has any.

    Args:
        asked: the beginning of the error.
        signals: signals of which each fits the others.
        name: "edges" or "globals".
        axis: along which they are joined: 0, the batch, or 1, rows.
    """
    states: list[Any] = [getattr(s, name) for s in signals]
    if name == "edges" and axis == 1:
        states = [_by_member(s) for s in signals]
    check_stackable(asked, "signal", name, states, free=2)
    if states[0] is None:
        return None
    # A state that is the same for a whole batch becomes one entry for each of its rows.
    wide = [state.expand(s.shape[0], -1, -1) for s, state in zip(signals, states, strict=True)]
    return torch.cat(wide, dim=axis)


def _by_member(signal: Signal) -> Tensor | None:
    """The edges of a signal member after member, as those of a Batch of its members stand."""
    order = signal.domain.link_order
    if signal.edges is None or order is None:
        return signal.edges
    return signal.edges.index_select(1, order.to(signal.device))


def _collate(batch: Sequence[Signal], *, collate_fn_map: Any = None) -> Signal:
    return collate(batch)


default_collate_fn_map[Signal] = _collate

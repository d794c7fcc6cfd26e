"""Messages piece by piece, for graphs whose edges do not fit into memory all at once.

What a message function keeps for its backward grows with the number of edges. Here the edges are
cut, receiver after receiver, into pieces of at most so many: a piece is computed, summarised at its
receivers, forgotten, and computed again when its gradient is wanted (`torch.utils.checkpoint`).
That is the same only where the function treats each edge alone, which the caller promises.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from geodl.errors import GeodlError
from geodl.lowering.differentiable import graph_wanted, transforms_active
from geodl.lowering.incidence import Incidence, incidence
from geodl.lowering.plans import return_memory
from geodl.lowering.reductions import REDUCTIONS

# What autograd keeps of a piece, a few hundred bytes for each operation, stands between the tensors
# that the piece has freed: the next piece finds gaps there which are too short for its own, and
# takes new memory. To give it back costs time, for it has to be mapped again: so not at each piece.
TIDY_EVERY = 4


class Piece(NamedTuple):
    """Some edges, all edges of a receiver beside each other.

    Attributes:
        dst: `[E_p]` the receiver of each.
        src: `[E_p]` the sender of each.
        place: `[E_p]` their places in the order of the rule.
        receivers: the receivers of this piece, from the first to the last, at which it is summed.
        tidies: whether memory that pieces before it have freed goes back to the system first.
    """

    dst: Tensor
    src: Tensor
    place: Tensor
    receivers: Incidence
    tidies: bool


class Pieces(NamedTuple):
    """All edges, piece by piece.

    Attributes:
        each: the pieces.
        rows: the receiver of each row of the summaries of all pieces, one after another.
        counts: `[P]` the edges behind each row.
        degree: `[M]` the edges into each receiver.
    """

    each: tuple[Piece, ...]
    rows: Incidence
    counts: Tensor
    degree: Tensor


def cut(receivers: Incidence, src: Tensor, most: int) -> Pieces:
    """The edges in pieces of at most so many; a receiver with more lies in several pieces.

    Args:
        receivers: the receiver of each edge.
        src: `[E]` the sender of each edge.
        most: edges in a piece.
    """
    pieces, rows = [], []
    on_cpu = src.device.type == "cpu"
    for number, place in enumerate(receivers.order.long().split(most)):
        dst = receivers.node[place]
        first, end = int(dst[0]), int(dst[-1]) + 1
        own = incidence(dst - first, end - first, compiled=receivers.compiled)
        tidies = on_cpu and number % TIDY_EVERY == 0
        pieces.append(Piece(dst, src[place], place, own, tidies))
        rows.append(torch.arange(first, end, device=dst.device))
    counts = torch.cat([piece.receivers.degree for piece in pieces])
    rows_of = incidence(torch.cat(rows), receivers.num_nodes)
    return Pieces(tuple(pieces), rows_of, counts, receivers.degree)


def reduce_in_pieces(
    pieces: Pieces,
    reductions: tuple[str, ...],
    values: tuple[Tensor, Tensor, Tensor | None, Tensor | None],
    function: Callable[..., Tensor],
) -> Tensor:
    """The reduced messages, `[B, M, C_out * reductions]`.

    Args:
        pieces: of the edges.
        reductions: by name.
        values: of receivers, of senders, of edges in the order of the rule, and the state of each
            receiver's graph.
        function: of what the edges see of these values.

    Raises:
        GeodlError: a transform of torch.func is running.
    """
    if transforms_active():
        raise GeodlError(
            "max_edges= under a transform of torch.func",
            "pieces that are computed twice, which torch.func cannot follow",
            "build the layer without max_edges=, or set it to None",
        )
    sources = [RowSource(value) for value in values]
    summaries = []
    for piece in pieces.each:
        summary = checkpoint(_summarise, piece, reductions, sources, function, use_reentrant=False)
        summaries.append(summary)
    # Column k holds one tensor of the summaries for every piece.
    columns = [torch.cat(parts, dim=1) for parts in zip(*summaries, strict=True)]
    reduced, begin = [], 0
    for name in reductions:
        reduction = REDUCTIONS[name]
        parts = tuple(columns[begin : begin + reduction.width])
        whole = reduction.merge(pieces.rows, pieces.counts, parts)
        reduced.append(reduction.finish(pieces.degree, whole))
        begin += reduction.width
    return torch.cat(reduced, dim=2)


def _summarise(
    piece: Piece,
    reductions: tuple[str, ...],
    sources: list["RowSource"],
    function: Callable[..., Tensor],
) -> list[Tensor]:
    """The summaries of a piece at its own receivers, those of one reduction after another."""
    if piece.tidies and not torch.compiler.is_compiling():
        return_memory()
    rows = (piece.dst, piece.src, piece.place, piece.dst)
    seen = [source.take(index) for source, index in zip(sources, rows, strict=True)]
    # The state of graphs is handed over only where the layer reads it.
    if seen[-1] is None:
        seen.pop()
    m = function(*seen)
    found: list[Tensor] = []
    for name in reductions:
        found += REDUCTIONS[name].collect(piece.receivers, m)
    return found


class RowSource:
    """Values of which rows are taken piece by piece, with one gradient for all pieces.

    The gradient of some rows of a tensor is as large as the tensor, and zero elsewhere: of K pieces
    autograd would make K of them and add them up. Here each piece adds to its rows of one buffer,
    which becomes the gradient once all pieces are done.

    Args:
        x: `[B, N, C]`; None where there are no values, and none to take.
    """

    def __init__(self, x: Tensor | None):
        self.x, self.total = x, None
        # A compiler follows no sums that are made on the way, and plans memory itself.
        if x is not None and not torch.compiler.is_compiling():
            self.total = _Total()
            self.x = _Whole.apply(self.total, x)

    def take(self, rows: Tensor) -> Tensor | None:
        """The values in these rows, `[B, len(rows), C]`."""
        if self.x is None:
            return None
        if self.total is None:
            return self.x.index_select(1, rows)
        return _Take.apply(self.total, self.x, rows)


class _Total:
    """A gradient that is being added up, and the backward that it belongs to."""

    def __init__(self):
        self.sum: Tensor | None = None
        self.owner = -1

    def add(self, rows: Tensor, g: Tensor, shape: torch.Size) -> None:
        # A backward that broke off leaves its sum behind: the next one has another number.
        backward = torch._C._current_graph_task_id()
        if self.sum is None or self.owner != backward:
            self.sum, self.owner = g.new_zeros(shape), backward
        # One member of the batch at a time: torch adds whole rows only along the first axis, and of
        # a block of its own (a third of the time, measured).
        for into, part in zip(self.sum.unbind(), g.contiguous().unbind(), strict=True):
            into.index_add_(0, rows, part)

    def collected(self) -> Tensor | None:
        found, self.sum = self.sum, None
        return found


class _Whole(torch.autograd.Function):
    """The values as they are. Its gradient is what the pieces have added up."""

    @staticmethod
    def forward(ctx: Any, total: _Total, x: Tensor) -> Tensor:
        ctx.total = total
        ctx.set_materialize_grads(False)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        found = ctx.total.collected()
        if found is None:
            return None, grad_outputs[0]
        return None, found


class _Take(torch.autograd.Function):
    """Rows of the values. Its gradient goes to their sum, and where the backward is itself to be
    differentiated the long way through autograd.
    """

    @staticmethod
    def forward(ctx: Any, total: _Total, x: Tensor, rows: Tensor) -> Tensor:
        ctx.total, ctx.rows, ctx.shape = total, rows, x.shape
        return x.index_select(1, rows)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (g,) = grad_outputs
        if graph_wanted():
            return None, g.new_zeros(ctx.shape).index_add(1, ctx.rows, g), None
        ctx.total.add(ctx.rows, g, ctx.shape)
        return None, None, None

"""The largest value that the edges of each node bring, as an operator with a gradient; how it is
computed, `lowering/kernels/segment.py` says.
"""

from typing import Any

import torch
from torch import Tensor

from geodl.lowering.differentiable import Operator, graph_wanted
from geodl.lowering.kernels.segment import largest_values, shared_gradient

SIGN = {"max": 1.0, "min": -1.0}


def compile_largest(rows: Tensor, cols: Tensor, dtype: torch.dtype) -> None:
    """Compile the kernels for such edges, or load them from disk: while a lowering plans, and not
    in a call that is timed.
    """
    wide = torch.promote_types(dtype, torch.float32)
    x = torch.zeros(0, 1, 1, dtype=wide)
    y, winner, ties = largest_values(rows, cols, x, 1.0)
    shared_gradient(rows, cols, x, winner, ties, y)


def largest(rows: Tensor, cols: Tensor, x: Tensor, reduction: str) -> tuple[Tensor, Tensor]:
    """The largest or smallest of the values that the edges of each node bring, 0 where none
    arrives, and along how many edges it arrives: both `[B, M, C]`.

    Args:
        rows: `[M + 1]` where each node's edges begin.
        cols: `[E]` the row of x that each brings.
        x: `[B, N, C]`.
        reduction: "max" or "min".
    """
    # The kernels know no narrower type, and to widen changes no order.
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    y, _, ties = Largest.apply(rows, cols, wide, SIGN[reduction])
    return y.to(x.dtype), ties


class Largest(Operator):
    """The largest of `sign * x` over each receiver's senders, times sign, the first sender that
    attains it, and along how many edges it arrives: arguments and results of
    :func:`geodl.lowering.kernels.segment.largest_values`.

    With `a_ijc = 1` where the edge's sender attains the maximum and t_ic their number, the gradient
    of x for an upstream gradient g is `dx_jc = sum_i a_ijc g_ic / t_ic`. a and t are constants, so
    that this is linear in g, and its own derivative needs no more than the same sum in operations
    of torch. Where the maximum is NaN t is 0, and the gradient NaN, as in the reference.
    """

    @staticmethod
    def forward(rows: Tensor, cols: Tensor, x: Tensor, sign: float) -> tuple[Tensor, ...]:
        return torch.ops.geodl.largest_values(rows, cols, x, sign)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        rows, cols, x, _ = inputs
        _, winner, ties = output
        # The maximum itself is x at the winner: what the caller gets may be changed in place.
        ctx.mark_non_differentiable(winner, ties)
        ctx.save_for_backward(rows, cols, x, winner, ties)
        ctx.save_for_forward(rows, cols, x, winner, ties)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        g, (rows, cols, x, winner, ties) = grad_outputs[0], ctx.saved_tensors
        if not graph_wanted():
            dx = torch.ops.geodl.shared_gradient(rows, cols, x, winner, ties, g)
            return None, None, dx, None
        receiver, attains = _attaining(rows, cols, x, winner)
        share = (g / ties.clamp(min=1)).masked_fill(ties == 0, torch.nan)
        share = share.index_select(1, receiver)
        dx = torch.zeros_like(x).index_add(1, cols, share * attains)
        return None, None, dx, None

    @staticmethod
    def tangent(ctx: Any, *tangents: Any) -> Any:
        rows, cols, x, winner, ties = ctx.saved_tensors
        receiver, attains = _attaining(rows, cols, x, winner)
        along = tangents[2].index_select(1, cols) * attains
        total = torch.zeros_like(winner, dtype=x.dtype).index_add(1, receiver, along)
        nothing_equal = (ties == 0) & (rows.diff() > 0)[:, None]
        return (total / ties.clamp(min=1)).masked_fill(nothing_equal, torch.nan), None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        rows, cols, x, sign = args
        x = x.movedim(in_dims[2], 0)
        found = Largest.apply(rows, cols, x.flatten(0, 1), sign)
        return tuple(t.unflatten(0, x.shape[:2]) for t in found), (0, 0, 0)


def _receivers(rows: Tensor, cols: Tensor) -> Tensor:
    """`[E]` the receiver of each edge; compilers must know how many there are."""
    return torch.repeat_interleave(rows.diff(), output_size=len(cols))


def _attaining(rows: Tensor, cols: Tensor, x: Tensor, winner: Tensor) -> tuple[Tensor, Tensor]:
    """The receiver of each edge `[E]`, and whether its sender attains the maximum `[B, E, C]`."""
    receiver = _receivers(rows, cols)
    # At the edges: where there is none, there may be no value either to read at the receivers.
    best = x.gather(1, winner.long().index_select(1, receiver))
    return receiver, x.index_select(1, cols) == best


def _fake_largest(
    rows: Tensor, cols: Tensor, x: Tensor, sign: float
) -> tuple[Tensor, Tensor, Tensor]:
    shape = x.shape[0], rows.shape[0] - 1, x.shape[2]
    whole = x.new_empty(shape, dtype=torch.int32)
    return x.new_empty(shape), whole, torch.empty_like(whole)


# Operators without a gradient, which the class above brings: one that torch.library registers
# would fail torch.func.grad.
torch.library.define(
    "geodl::largest_values",
    "(Tensor rows, Tensor cols, Tensor x, float sign) -> (Tensor, Tensor, Tensor)",
)
torch.library.impl("geodl::largest_values", "default", largest_values)
torch.library.impl("geodl::largest_values", "Meta", _fake_largest)
torch.library.define(
    "geodl::shared_gradient",
    "(Tensor rows, Tensor cols, Tensor x, Tensor winner, Tensor ties, Tensor g) -> Tensor",
)
torch.library.impl("geodl::shared_gradient", "default", shared_gradient)
torch.library.impl(
    "geodl::shared_gradient", "Meta", lambda rows, cols, x, winner, ties, g: x.new_empty(x.shape)
)

"""Sums over neighbors plus a self term, `y = S x + c x`, as one operator.

It is the aggregation of a GIN, `(1 + eps) x_i + sum over neighbors of x_j` (Xu et al., "How
Powerful are Graph Neural Networks?", 2019). As a product, a scaling and a sum it would be three
functions of autograd, each of which takes longer on small graphs than the kernels.
"""

from typing import Any

from torch import Tensor

from geodl.lowering.differentiable import Operator, graph_wanted
from geodl.lowering.sparse import SpMM, mapped_first, multiply, run_spmm
from geodl.pattern import Pattern, transpose


class SpMMWithSelfTerm(Operator):
    """`y_i = sum_j s_ij x_j + c x_i`: a square pattern, c `[1]` and x `[1, N, C]` of one dtype; or
    `[N, C]`, where no transform of `torch.func` runs.

    Derivatives for an upstream gradient g: `dc = sum over all numbers of g x`, and `dx = S^T g + c
    g`, which is the same function of the transposed pattern: it closes under differentiation.
    """

    @staticmethod
    def forward(pattern: Pattern, c: Tensor, x: Tensor) -> Tensor:
        y = run_spmm(pattern, pattern.values, x)
        # In place: nobody else has it.
        return y.addcmul_(x, c)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.pattern, c, x = inputs
        ctx.save_for_backward(c, x)
        ctx.save_for_forward(c, x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (g,), (c, x), pattern = grad_outputs, ctx.saved_tensors, ctx.pattern
        dc, dx = None, None
        if ctx.needs_input_grad[1]:
            dc = (g * x).sum_to_size(c.shape)
        if ctx.needs_input_grad[2] and graph_wanted():
            dx = SpMMWithSelfTerm.apply(transpose(pattern), c, g)
        elif ctx.needs_input_grad[2]:
            # The usual step: autograd need not hear of it.
            dx = run_spmm(transpose(pattern), pattern.values_t, g).addcmul_(g, c)
        return None, dc, dx

    @staticmethod
    def tangent(ctx: Any, *tangents: Any) -> Any:
        (c, x), (_, dc, dx) = ctx.saved_tensors, tangents
        terms = []
        if dx is not None:
            terms.append(SpMMWithSelfTerm.apply(ctx.pattern, c, dx))
        if dc is not None:
            terms.append(dc * x)
        return sum(terms[1:], terms[0])

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        pattern, c, x = args
        _, c_axis, x_axis = in_dims
        if c_axis is not None:
            c = c.movedim(c_axis, 0)[:, None, None]
        x = mapped_first(x, x_axis, info.batch_size)
        summed = SpMM.apply(pattern, None, x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return summed + c * x, 0


def multiply_with_self_term(pattern: Pattern, c: Tensor, x: Tensor) -> Tensor:
    """`S x + c x`: c `[1]`, x `[B, N, C]` to the same, or rows `[N, C]`.

    Args:
        pattern: of S, square, with entries of its own.
        c: the factor of the self term.
        x: the values.
    """
    is_batch = x.dim() == 3 and x.shape[0] != 1
    if is_batch or c.dtype != x.dtype:
        return multiply(pattern, x) + c * x
    return SpMMWithSelfTerm.apply(pattern, c, x)

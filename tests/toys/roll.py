"""`roll`: a window around a ring as a sum of rolled signals."""

from typing import NamedTuple

from torch import Tensor

from geodl.lowering import Call, Lowering
from geodl.neighborhood import Stencil


class Turns(NamedTuple):
    """How far the signal is rolled for the first weight, and for each one after it."""

    first: int
    step: int


def _refuses(call: Call) -> str:
    s = call.structure(Stencil)
    if s is None or s.transposed or s.edge_type.shape[:2] != (1, 1) or s.circular != (True,):
        return "the rule is no plain window around a ring"
    if s.basis is not None:
        return "a basis weighs the edges"
    return (
        "the window does not make as many nodes as it hears"
        if s.out_shape != s.in_shape or s.stride != (1,)
        else ""
    )


def _plan(call: Call) -> Turns:
    s = call.structure(Stencil)
    assert s is not None
    return Turns(s.padding[0][0], -s.dilation[0])


def _run(plan: Turns, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    rolled = (x.roll(plan.first + k * plan.step, 1) @ w for k, w in enumerate(weight))
    y = sum(rolled, x.new_zeros(()))
    return y if bias is None else y + bias


convolve = Lowering("roll", _refuses, _plan, _run)

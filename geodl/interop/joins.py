"""Sums, products and rows of several tensors."""

import operator
from typing import Any

import torch
from torch import Tensor

from geodl.interop.channels import with_own_channels
from geodl.interop.converters import converts
from geodl.interop.positions import add_positions
from geodl.interop.spreading import spread
from geodl.interop.tokens import with_own_tokens
from geodl.interop.whole import layout as layouts
from geodl.interop.whole.channel_order import in_order
from geodl.interop.whole.on_tensors import Apply, Slot
from geodl.interop.whole.values import Call, Value
from geodl.layer import Pointwise

OPERATIONS = {
    "add": (torch.add, operator.add, operator.iadd, Tensor.add, Tensor.add_, Tensor.__radd__),
    "sub": (torch.sub, operator.sub, operator.isub, Tensor.sub, Tensor.sub_),
    "mul": (torch.mul, operator.imul, Tensor.mul, Tensor.mul_, torch.multiply),
}
IN_PLACE = (operator.iadd, operator.isub, operator.imul, "add_", "sub_", "mul_")


def join_two(build: Any, call: Call, how: str) -> Any:
    """A sum, difference or product of two tensors, or of one and a number."""
    if call.kwargs or len(call.args) != 2:
        return None
    one, other = call.args
    values = [v for v in (one, other) if isinstance(v, Value)]
    if len(values) == 1:
        return _with_number(build, call, how)
    own = with_own_channels(build, call, how)
    if own is not None:
        return own
    if len(values) == 2 and how == "add" and (one.layout is None) != (other.layout is None):
        value, table = (other, one) if one.layout is None else (one, other)
        return add_positions(build, call, value, table)
    if len(values) != 2 or any(value.layout is None for value in values):
        return None
    if how == "sub" and one.tensor.dim() < other.tensor.dim():
        return None
    pair = aligned(build, one, other)
    if pair is None:
        return None
    answer = build.join(call.name, how, list(pair), call.example)
    if call.function in IN_PLACE:
        build.renamed[one.name] = answer
    return answer


def _with_number(build: Any, call: Call, how: str) -> Any:
    """A number with each number of a tensor."""
    one, other = call.args
    value, number = one, other
    slots: tuple[Any, ...] = (Slot(0), other)
    if not isinstance(one, Value):
        value, number = other, one
        slots = (one, Slot(0))
    if isinstance(number, bool) or not isinstance(number, int | float) or value.layout is None:
        return None
    # As a method of the tensor no operator would know; torch's function takes either order.
    function = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}.get(how)
    part = Pointwise(Apply(function or operator.truediv, slots, {}))
    answer = build.apply(call.name, part, value, call.example)
    if call.function in IN_PLACE:
        build.renamed[value.name] = answer
    return answer


def aligned(build: Any, one: Value, other: Value) -> tuple[Value, Value] | None:
    """Two values in one layout on one domain; None where torch would spread one over the other in
    a way that no layer here has.
    """
    if one.tensor.dim() != other.tensor.dim():
        return None
    if one.tensor.shape != other.tensor.shape:
        return spread(build, one, other)
    if one.on.domain == other.on.domain and layouts.same_numbers(one.kept, other.kept):
        return one, other
    return one, build.rearrange(other, one.kept.merged(), like=one)


@converts(operator.mul, traced=True)
def convert_product(build: Any, call: Call) -> Any:
    """A product of tensors, or of one and a number."""
    return join_two(build, call, "mul")


@converts(torch.cat, torch.concat, torch.concatenate, traced=True)
def convert_cat(build: Any, call: Call) -> Any:
    """Tensors one after another along the channels, or tokens of the model's own beside others."""
    values, dim = call.given("tensors", "dim", dim=0)
    tokens = with_own_tokens(build, call, values, dim)
    if tokens is not None:
        return tokens
    if not isinstance(values, tuple | list) or not values:
        return None
    if not all(isinstance(one, Value) for one in values):
        return None
    if len(values) == 1:
        return values[0]
    if any(value.layout is None for value in values):
        return None
    values = [in_order(build, value) for value in values]
    first = values[0]
    at = first.kept.channel_dim()
    if at is None or dim % first.tensor.dim() != at:
        return None
    read = [first]
    for value in values[1:]:
        layout = first.kept.merged().with_channels(value.tensor.shape[at])
        same = layouts.same_numbers(value.kept, layout)
        if not same or value.on.domain != first.on.domain:
            value = build.rearrange(value, layout, like=first)
        read.append(value)
    return build.join(call.name, "cat", read, call.example)


def _register(how: str) -> None:
    def convert(build: Any, call: Call) -> Any:
        return join_two(build, call, how)

    converts(*OPERATIONS[how], traced=True)(convert)


for _how in OPERATIONS:
    _register(_how)


@converts(operator.truediv, operator.itruediv, torch.div, Tensor.div, Tensor.div_, traced=True)
def convert_quotient(build: Any, call: Call) -> Any:
    """A tensor divided by a number, a number by a tensor, or a tensor by another one."""
    if call.kwargs or len(call.args) != 2:
        return None
    if sum(isinstance(value, Value) for value in call.args) == 1:
        return _with_number(build, call, "div")
    own = with_own_channels(build, call, "div")
    if own is not None:
        return own
    one, other = call.args
    if not all(isinstance(value, Value) and value.layout is not None for value in (one, other)):
        return None
    part = Pointwise(Apply("reciprocal", (Slot(0),), {}))
    inverse = build.apply(f"{call.name}_inverse", part, other, other.tensor.reciprocal())
    return join_two(build, call._replace(args=(one, inverse)), "mul")


@converts(operator.neg, reads="each")
def from_negation() -> Pointwise:
    """`-x`."""
    return Pointwise(Apply(operator.neg, (Slot(0),), {}))


@converts(operator.pow, reads="each")
def from_power(exponent: float) -> Pointwise:
    """`x ** exponent`."""
    return Pointwise(Apply(operator.pow, (Slot(0), exponent), {}))

"""Numbers that a model computes of the lengths of its tensors, as `x.size(2) - y.size(2)`."""

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from geodl.interop.whole.on_tensors import OnTensors, Slot
from geodl.interop.whole.values import Call, Length, Scalar, Size, Value
from geodl.layer.opaque import Opaque

FUNCTIONS = (
    operator.add,
    operator.sub,
    operator.mul,
    operator.floordiv,
    operator.mod,
    operator.neg,
)
NUMBERS = (int, Size, Length)


class Of(NamedTuple):
    """The length of an axis of a lattice.

    Attributes:
        lattice: the number of the lattice.
        axis: of it.
    """

    lattice: int
    axis: int


class Computed(NamedTuple):
    """A function of lengths and numbers.

    Attributes:
        function: of Python's operators.
        args: a number, `Of` or `Computed` each.
    """

    function: Callable[..., int]
    args: tuple[Any, ...]


def length_of(call: Call) -> Size | Length | tuple[Any, ...] | None:
    """What a call makes of lengths and whole numbers, `x.shape[:2] + (2, 3)` among it; None of any
    other call.
    """
    if call.function is operator.add and all(isinstance(one, tuple) for one in call.args):
        one, other = call.args
        return (*one, *other)
    if call.function not in FUNCTIONS or call.kwargs or call.module is not None:
        return None
    if not all(isinstance(one, NUMBERS) for one in call.args):
        return None
    if call.function is operator.mul and all(isinstance(one, Size) for one in call.args):
        one, other = call.args
        if one.axis and other.axis:
            # A view takes two lengths as one axis.
            axis = (*one.axis, *other.axis)
            return Size(axis, call.example, one.value, -1, (one, other))
    return Length(call.function, call.args, call.example)


def as_scalar(build: Any, number: Any) -> Any:
    """A length as a node that finds it at each call; a plain number as it is."""
    if isinstance(number, Size):
        if not number.factors:
            return build.scalar(number)
        number = Length(operator.mul, number.factors, number.number)
    if not isinstance(number, Length):
        return number
    read: list[Scalar] = []
    args: list[Any] = []
    for one in number.args:
        scalar = as_scalar(build, one)
        if isinstance(scalar, Scalar):
            args.append(Slot(len(read)))
            read.append(scalar)
        else:
            args.append(scalar)
    made = OnTensors(number.function, tuple(args), {}, (None,) * len(read))
    part = Opaque(made, "a number that the model computes of lengths")
    name = build.add(number.function.__name__, part, [one.name for one in read])
    return Scalar(name, number.number)


def formulas(numbers: Sequence[Any], value: Value) -> tuple[tuple[Any, ...], Value | None] | None:
    """Numbers as formulas of the lengths of a value's lattice, which is number 1, and of one other
    value's, number 0; and that other value. None where they read more.

    Args:
        numbers: whole ones, Sizes and Lengths.
        value: a signal on a lattice.
    """
    others: dict[str, Value] = {}

    def formula(number: Any) -> Any:
        if isinstance(number, Length):
            return Computed(number.function, tuple(formula(one) for one in number.args))
        if isinstance(number, Size) and number.factors:
            return Computed(operator.mul, tuple(formula(one) for one in number.factors))
        if not isinstance(number, Size):
            return number
        if len(number.axis) != 1 or number.axis[0].kind != "node":
            raise LookupError
        which = 1
        if number.value.name != value.name:
            others[number.value.name] = number.value
            which = 0
        return Of(which, number.axis[0].place)

    try:
        found = tuple(formula(number) for number in numbers)
    except LookupError:
        return None
    if len(others) > 1:
        return None
    return found, next(iter(others.values()), None)


def evaluate(formula: Any, lattices: Sequence[tuple[int, ...]]) -> int:
    """The number that a formula means for some lattices."""
    if isinstance(formula, Of):
        return lattices[formula.lattice][formula.axis]
    if isinstance(formula, Computed):
        return formula.function(*(evaluate(one, lattices) for one in formula.args))
    return formula

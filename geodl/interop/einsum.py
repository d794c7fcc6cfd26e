"""`torch.einsum`: linear layers, scores of attention, products and sums.

An equation names the axes of its operands by letters. What it means is put together of calls that
have converters: an own tensor of the model and a signal are a linear layer, two signals that share
an axis are scores, a signal alone is summed and transposed.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from geodl.interop.channels import PerChannel
from geodl.interop.converters import converts
from geodl.interop.scores import convert_scores
from geodl.interop.whole.ancestry import own_tensor
from geodl.interop.whole.layout import Layout
from geodl.interop.whole.values import Call, Scores, Value
from geodl.layer import Conv
from geodl.neighborhood import itself


class Equation(NamedTuple):
    """An equation of letters.

    Attributes:
        operands: the axes of each operand.
        answer: those of the answer.
    """

    operands: tuple[str, ...]
    answer: str


class Permuted(nn.Module):
    """A parametrization: a tensor with its axes in another order, in another shape.

    Args:
        order: of the axes.
        shape: of the answer.
    """

    has_twin = True

    def __init__(self, order: tuple[int, ...], shape: tuple[int, ...]):
        super().__init__()
        self.order, self.shape = order, shape

    def forward(self, tensor: Tensor) -> Tensor:
        """The same numbers."""
        return tensor.permute(self.order).reshape(self.shape)


def read_equation(text: Any, tensors: list[Tensor]) -> Equation | None:
    """An equation with letters for what its dots stand for; None of one that repeats an axis."""
    if not isinstance(text, str):
        return None
    given, arrow, answer = text.replace(" ", "").partition("->")
    operands = given.split(",")
    if len(operands) != len(tensors):
        return None
    counts = set()
    for axes, tensor in zip(operands, tensors, strict=True):
        if "..." in axes:
            counts.add(tensor.dim() - len(axes) + 3)
    if len(counts) > 1:
        return None
    dots = "".join(chr(ord("\u03b1") + k) for k in range(max(counts, default=0)))
    operands = [axes.replace("...", dots) for axes in operands]
    if not arrow:
        together = "".join(operands)
        alone = [axis for axis in sorted(set(together)) if together.count(axis) == 1]
        answer = dots + "".join(axis for axis in alone if axis not in dots)
    answer = answer.replace("...", dots)
    for axes, tensor in zip(operands, tensors, strict=True):
        if len(set(axes)) < len(axes) or len(axes) != tensor.dim():
            return None
    return Equation(tuple(operands), answer)


@converts(torch.einsum, traced=True)
def convert_einsum(build: Any, call: Call) -> Any:
    """`torch.einsum(equation, *operands)`."""
    operands = _operands(call)
    if operands is None or not all(isinstance(one, Value) for one in operands):
        return None
    equation = read_equation(call.args[0], [one.tensor for one in operands])
    if equation is None:
        return None
    if len(operands) == 1:
        return _summed(build, call, operands[0], equation)
    if len(operands) > 2:
        return _first_two(build, call, operands, equation)
    own = [own_tensor(build.nodes, one) for one in operands]
    if own[0] is not None and own[1] is None:
        operands, own = operands[::-1], own[::-1]
        equation = equation._replace(operands=equation.operands[::-1])
    if operands[0].layout is None:
        return None
    if own[1] is not None:
        return _with_own(build, call, operands[0], own[1], equation)
    return _product(build, call, operands, equation)


@converts(torch.einsum, scores=True)
def convert_einsum_scores(build: Any, call: Call) -> Any:
    """Scores `q_i . k_j`, and what weights make of values."""
    operands = _operands(call)
    if operands is None or len(operands) != 2:
        return None
    tensors = [_example_of(one) for one in operands]
    if not all(isinstance(one, Tensor) for one in tensors):
        return None
    equation = read_equation(call.args[0], tensors)
    if equation is None:
        return None
    if isinstance(operands[1], Scores):
        operands = operands[::-1]
        equation = equation._replace(operands=equation.operands[::-1])
    if not isinstance(operands[1], Value) or operands[1].layout is None:
        return None
    if isinstance(operands[0], Scores):
        return _of_weights(build, call, operands, equation)
    if operands[0].layout is None:
        return None
    return _scores(build, call, operands, equation)


def _operands(call: Call) -> list[Any] | None:
    operands = list(call.args[1:])
    if len(operands) == 1 and isinstance(operands[0], tuple | list):
        operands = list(operands[0])
    if call.kwargs or not operands:
        return None
    return operands


def _example_of(operand: Any) -> Any:
    if isinstance(operand, Scores):
        return operand.calls[-1].example
    return getattr(operand, "tensor", None)


def _made(call: Call, function: Any, *args: Any, example: Any) -> Call:
    return call._replace(function=function, args=args, kwargs={}, example=example)


def _in_order(value: Value, axes: str, wanted: str) -> Value:
    """A value whose axes are read in another order."""
    order = [axes.index(axis) for axis in wanted]
    layout = Layout(tuple(value.kept.dims[k] for k in order), value.kept.domain)
    return value.read_as(layout, value.tensor.permute(order))


def _summed(build: Any, call: Call, value: Value, equation: Equation) -> Value | None:
    """Sums over the axes that the answer lacks, and the others in its order."""
    (axes,), answer = equation
    if value.layout is None or not set(answer) <= set(axes):
        return None
    gone = tuple(k for k, axis in enumerate(axes) if axis not in answer)
    kept = "".join(axis for axis in axes if axis in answer)
    if gone:
        summed = _made(call, torch.sum, value, gone, example=value.tensor.sum(gone))
        value = build.convert(summed)
        if value.layout is None:
            return None
    return _in_order(value, kept, answer)


def _first_two(build: Any, call: Call, operands: list[Any], equation: Equation) -> Any:
    """The first two operands together, and what is left of the equation."""
    one, other, *rest = equation.operands
    needed = {*"".join(rest), *equation.answer}
    axes = "".join(dict.fromkeys(axis for axis in one + other if axis in needed))
    text = f"{one},{other}->{axes}"
    tensors = [operand.tensor for operand in operands[:2]]
    example = torch.einsum(_latin(text), *tensors)
    first = build.convert(
        call._replace(args=(_latin(text), *operands[:2]), kwargs={}, example=example)
    )
    text = f"{','.join([axes, *rest])}->{equation.answer}"
    return build.convert(call._replace(args=(_latin(text), first, *operands[2:]), kwargs={}))


def _latin(text: str) -> str:
    """An equation without the letters that stand for dots."""
    free = iter(sorted(set("ABCDEFGH") - set(text)))
    for letter in sorted({axis for axis in text if axis >= "\u03b1"}):
        text = text.replace(letter, next(free))
    return text


def _product(build: Any, call: Call, operands: list[Any], equation: Equation) -> Any:
    """The product of two signals with the same axes, summed over some."""
    one, other = operands
    axes, others = equation.operands
    if other.layout is None or set(axes) != set(others):
        return None
    other = _in_order(other, others, axes)
    product = build.convert(_made(call, torch.mul, one, other, example=one.tensor * other.tensor))
    if product.layout is None:
        return None
    return _summed(build, call, product, Equation((axes,), equation.answer))


def _with_own(build: Any, call: Call, value: Value, tensor: Tensor, equation: Equation) -> Any:
    """A signal and a tensor of the model: a linear layer, in blocks where they share an axis that
    the answer has.
    """
    (axes, own), answer = equation
    if not set(answer) <= set(axes + own):
        return None
    blocks = [axis for axis in own if axis in axes and axis in answer]
    gone = [axis for axis in own if axis in axes and axis not in answer]
    new = [axis for axis in own if axis not in axes]
    kept = [axis for axis in axes if axis not in own]
    if not set(kept + new) <= set(answer):
        return None
    if len(own) == 1 and blocks:
        return _per_channel(build, call, value, tensor, equation)
    if not gone:
        return None
    read = _in_order(value, axes, "".join([*kept, *blocks, *gone]))
    dims = read.kept.dims
    channels = tuple(atom for dim in dims[len(kept) :] for atom in dim)
    if any(atom.kind != "channel" for atom in channels):
        return None
    flat = read.tensor.flatten(len(kept))
    read = read.read_as(Layout((*dims[: len(kept)], channels), read.kept.domain), flat)
    read = build.read(read, "last")
    sizes = dict(zip(own, tensor.shape, strict=True))
    layer = _layer(build, tensor, own, blocks, gone, new, sizes)
    made = "".join([*kept, *blocks, *new])
    example = call.example.permute([answer.index(axis) for axis in made]).flatten(len(kept))
    found = build.apply(call.name, layer, read, example)
    parts = [sizes[axis] for axis in [*blocks, *new]]
    layout = found.kept
    atom = layout.channels[0]
    split = layout.with_split(atom, parts)
    dims = (*split.dims[:-1], *((piece,) for piece in split.dims[-1]))
    wide = found.read_as(Layout(dims, layout.domain), example.unflatten(-1, parts))
    return _in_order(wide, made, answer)


def _layer(
    build: Any,
    tensor: Tensor,
    own: str,
    blocks: list[str],
    gone: list[str],
    new: list[str],
    sizes: dict[str, int],
) -> Any:
    """The linear layer whose weight `[1, C_in / groups, C_out]` is a tensor of the model with its
    axes in another order.
    """
    groups, rows, columns = (
        math.prod(sizes[axis] for axis in part) for part in (blocks, gone, new)
    )
    order = tuple(own.index(axis) for axis in [*gone, *blocks, *new])
    shape = (1, rows, groups * columns)

    def make() -> Conv:
        layer = Conv(groups * rows, groups * columns, itself(), False, groups=groups)
        kept = nn.Parameter(tensor.detach().clone(), requires_grad=tensor.requires_grad)
        parametrize.register_parametrization(layer, "weight", nn.Identity())
        chain: Any = layer.parametrizations
        chain["weight"][0] = Permuted(order, shape)
        chain["weight"].original = kept
        return layer

    return build.shared({"parametrizations.weight.original": tensor}, ("einsum", order), make)


def _per_channel(
    build: Any, call: Call, value: Value, tensor: Tensor, equation: Equation
) -> Value | None:
    """A number for each channel."""
    (axes, own), answer = equation
    if value.kept.channel_dim() != axes.index(own) or set(answer) != set(axes):
        return None

    def make() -> PerChannel:
        kept: Any = tensor.detach().clone()
        if isinstance(tensor, nn.Parameter):
            kept = nn.Parameter(kept, requires_grad=tensor.requires_grad)
        return PerChannel("mul", kept)

    layer = build.shared({"weight": tensor}, ("per channel", "mul"), make)
    example = call.example.permute([answer.index(axis) for axis in axes])
    return _in_order(build.apply(call.name, layer, value, example), axes, answer)


def _scores(build: Any, call: Call, operands: list[Any], equation: Equation) -> Scores | None:
    """`bhid,bhjd->bhij` and the like, whatever the order of axes in the operands."""
    (one, other), answer = equation
    beside = [axis for axis in answer if axis in one and axis in other]
    gone = [axis for axis in one if axis in other and axis not in answer]
    rows = [axis for axis in one if axis not in other]
    columns = [axis for axis in other if axis not in one]
    if [len(gone), len(rows), len(columns)] != [1, 1, 1]:
        return None
    if answer == "".join([*beside, *columns, *rows]):
        swapped = equation._replace(operands=(other, one))
        return _scores(build, call, operands[::-1], swapped)
    if answer != "".join([*beside, *rows, *columns]):
        return None
    query = _in_order(operands[0], one, "".join([*beside, *rows, *gone]))
    key = _in_order(operands[1], other, "".join([*beside, *gone, *columns]))
    return convert_scores(build, _made(call, torch.matmul, query, key, example=call.example))


def _of_weights(build: Any, call: Call, operands: list[Any], equation: Equation) -> Any:
    """`bhij,bhjd->bhid` and the like, weights first."""
    (weights, values), answer = equation
    *beside, row, column = weights
    new = [axis for axis in values if axis not in weights]
    if len(new) != 1 or set(values) != {*beside, column, *new}:
        return None
    made = "".join([*beside, row, *new])
    if set(made) != set(answer):
        return None
    value = _in_order(operands[1], values, "".join([*beside, column, *new]))
    example = call.example.permute([answer.index(axis) for axis in made])
    found = convert_scores(build, _made(call, torch.matmul, operands[0], value, example=example))
    if not isinstance(found, Value):
        return None
    return _in_order(found, made, answer)

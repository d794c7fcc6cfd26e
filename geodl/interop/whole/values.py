"""What stands for torch's values while a model is imported."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from torch import Tensor, nn

from geodl.interop.whole.layout import Axis, Layout
from geodl.neighborhood import Neighborhood
from geodl.signal import Signal


@dataclass(eq=False)
class Value:
    """A tensor of the model, as a node of the network gives it.

    Attributes:
        name: of the node or input.
        layout: how the tensor is read from the node's signal; None where the node gives the tensor
            itself.
        tensor: what the model has here on the example.
        signal: what the network has here on the example; None of a plain tensor.
    """

    name: str
    layout: Layout | None
    tensor: Tensor
    signal: Signal | None = None

    def read_as(self, layout: Layout, tensor: Tensor) -> "Value":
        """The same node, read as another tensor."""
        return Value(self.name, layout, tensor, self.signal)

    @property
    def kept(self) -> Layout:
        """The layout of a value that is a signal."""
        assert self.layout is not None
        return self.layout

    @property
    def on(self) -> Signal:
        """The example's signal of a value that is one."""
        assert self.signal is not None
        return self.signal


@dataclass(eq=False)
class Size:
    """The length of an axis, which may differ from call to call.

    Attributes:
        axis: its atoms.
        number: the length on the example.
        value: a tensor that has it.
        dim: on which axis.
        factors: the lengths that it is a product of; () of a length of its own.
    """

    axis: Axis
    number: int
    value: Value
    dim: int
    factors: tuple["Size", ...] = ()


@dataclass(eq=False)
class Length:
    """A whole number that a model computes of lengths.

    Attributes:
        function: an operator of Python.
        args: numbers, Sizes and Lengths.
        number: what it is on the example.
    """

    function: Callable[..., int]
    args: tuple[Any, ...]
    number: int


@dataclass(eq=False)
class Scalar:
    """A number that a node of the network computes: what a model makes of sizes.

    Attributes:
        name: of the node.
        example: the number on the example.
    """

    name: str
    example: Any


@dataclass(eq=False)
class Scores:
    """Scores of pairs of nodes, `scale q_i . k_j`, or what a softmax makes of them.

    Attributes:
        query: `[B, H, N, D]`, or `[B, N, D]`.
        key: likewise; not transposed.
        scale: of the products.
        rule: the pairs that a mask leaves.
        dropout: of the normalised scores, while training.
        normalised: whether they went through a softmax.
        calls: of the model that made them, in order.
        value: the tensor itself, once something reads it.
    """

    query: Value
    key: Value
    scale: float
    rule: Neighborhood
    dropout: float
    normalised: bool = False
    calls: "list[Call]" = field(default_factory=list)
    value: Value | None = None

    def after(self, call: "Call", **changed: Any) -> "Scores":
        """What a call makes of them."""
        return replace(self, calls=[*self.calls, call], value=None, **changed)


class Untraced(NamedTuple):
    """A part that could not be followed.

    Attributes:
        module: the part.
        reason: why.
    """

    module: nn.Module
    reason: str


@dataclass(eq=False)
class Links:
    """What stands for an argument of a graph model that is no node's value: links, their weights,
    the members of a union. The signal's domain holds it.

    Attributes:
        role: which of them.
        example: the tensor on the example.
        value: a value on the graph.
    """

    role: str
    example: Any
    value: "Value"


def role_read(role: str, reader: Any) -> str:
    """What a part reads of the domain. A norm of PyG has another formula for a graph that is called
    without `batch` (its LayerNorm adds eps to the deviation, not to the variance).
    """
    if role == "batch" and type(reader).__module__.startswith("torch_geometric.nn.norm."):
        return "batch of several"
    return role


class Call(NamedTuple):
    """A call in a trace, its arguments replaced by what stands for them.

    Attributes:
        name: readable, with the path of the part it stands in.
        function: a function, the name of a method, or None of a module's call.
        module: the module that is called, a part that could not be followed, or None.
        args: a Value, Size, Scalar, Links or constant each, or structures of them.
        kwargs: likewise.
        example: the answer on the example.
        used: which entries of the answer are read, where only entries are; None for all of it.
        in_training: the arguments in training, as (args, kwargs); None where they are the same.
    """

    name: str
    function: Any
    module: nn.Module | Untraced | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    example: Any
    used: frozenset[int] | None
    in_training: Any = None

    def while_training(self) -> "Call":
        """The call as it is made in training."""
        if self.in_training is None:
            return self
        args, kwargs = self.in_training
        return self._replace(args=args, kwargs=kwargs, in_training=None)

    def given(self, *names: str, **defaults: Any) -> list[Any]:
        """The arguments of the call by the names of its function's, in their order.

        Args:
            names: of all arguments, in order.
            defaults: of those that may be left out.

        Raises:
            TypeError: arguments that are not among them.
        """
        values = dict(zip(names, self.args, strict=False))
        if len(self.args) > len(names) or set(self.kwargs) - set(names):
            raise TypeError(f"{self.name} with other arguments than {names}")
        values = {**defaults, **values, **self.kwargs}
        return [values[name] for name in names]

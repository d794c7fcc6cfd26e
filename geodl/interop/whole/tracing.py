"""The calls of a model in order, by torch.fx: what an import reads."""

import copy
import dis
import inspect
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg
from torch.fx.proxy import TraceError

from geodl.interop.converters import FROM, TRACED, key_of
from geodl.interop.whole.failures import failure_in_words, place_in
from geodl.interop.whole.modes import first_difference, mark_modes
from geodl.interop.whole.on_tensors import Slot
from geodl.interop.whole.traceable import traceable, traceable_functions, traceable_parts
from geodl.layer.pointwise import is_pointwise

# What a forward may raise where its calls depend on values, of which a trace has none.
UNTRACEABLE = (
    TraceError,
    TypeError,
    ValueError,
    RuntimeError,
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
    AssertionError,
)


class Trace(NamedTuple):
    """A model's calls.

    Attributes:
        module: a copy of the model, whose parts the calls name.
        graph: the calls; None where the model itself could not be followed.
        reasons: the parts that stay one call, by path, and why.
    """

    module: nn.Module
    graph: fx.Graph | None
    reasons: dict[str, str]


def trace_calls(
    module: nn.Module,
    constants: dict[str, Any],
    functions: tuple[Callable[..., Any], ...] = (),
    arguments: Any = None,
) -> Trace:
    """Follow a model's forward in evaluation mode, and once more in training mode.

    A part that torch.fx cannot follow, or that makes other calls in training than in evaluation,
    stays one call.

    Args:
        module: a copy that may be changed.
        constants: arguments of forward that are no tensors, by name.
        functions: each stays one call.
        arguments: makes the arguments of a trace by name, `arguments(tracer)`; by default torch.fx
            does.
    """
    whole: dict[str, str] = {}
    for part in module.modules():
        for name, value in list(vars(part).items()):
            if callable(value) and value in functions:
                setattr(part, name, traceable(value))
    while True:
        graphs = []
        for training in (False, True):
            tracer = CallTracer(whole, functions, arguments)
            module.train(training)
            try:
                with traceable_functions(functions), traceable_parts(module):
                    graphs.append(tracer.trace(module, dict(constants)))
            except UNTRACEABLE as error:
                return Trace(module.eval(), None, {"": failure_in_words("torch.fx", error)})
            whole = tracer.whole
        module.eval()
        for graph in graphs:
            _name_constants(graph, constants)
        differing = first_difference(*graphs)
        if differing is None:
            mark_modes(*graphs)
            return Trace(module, graphs[0], whole)
        if not differing or differing in whole:
            return Trace(module, None, {"": OTHER_IN_TRAINING})
        whole = {**whole, differing: OTHER_IN_TRAINING}


def _name_constants(graph: fx.Graph, constants: dict[str, Any]) -> None:
    """Give arguments that are no tensors their own names, and leave out the checks of their values:
    torch.fx numbers them.
    """
    for node in list(graph.nodes):
        name = str(node.target).rpartition("_")[0]
        if node.op != "placeholder" or str(node.target) in constants or name not in constants:
            continue
        checks = [node]
        for check in checks:
            checks += check.users
        for check in reversed(checks[1:]):
            graph.erase_node(check)
        node.target = name


OTHER_IN_TRAINING = "its forward makes other calls in training"


class CallTracer(fx.Tracer):
    """Follows a forward down to the parts that have a converter, or that torch.fx cannot follow.

    Args:
        whole: parts that are to stay one call, by path, and why.
        functions: each stays one call.
        arguments: makes the arguments by name.
    """

    def __init__(
        self,
        whole: dict[str, str],
        functions: tuple[Callable[..., Any], ...],
        arguments: Any = None,
    ):
        super().__init__(autowrap_functions=functions)
        self.whole = dict(whole)
        self.arguments = arguments
        self.proxy_buffer_attributes = True
        self._named: set[str] = set()

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        """A call, with the line of the model that makes it."""
        node = super().create_node(*args, **kwargs)
        node.meta["place"] = place_in(sys._getframe(1))
        return node

    def create_arg(self, a: Any) -> Any:
        """An argument of a call. A tensor that the model makes itself has the name that it had in
        an earlier trace.
        """
        if isinstance(a, Tensor) and a not in self.tensor_attrs:
            for name, value in vars(self.root).items():
                is_own = name.startswith(OWN_TENSOR) and name not in self._named
                if is_own and are_equal(value, a):
                    self.tensor_attrs[a] = name
                    break
        arg = super().create_arg(a)
        if isinstance(a, Tensor):
            self._named.add(str(getattr(arg, "target", "")))
        return arg

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Whether a value counts as true; unknown while its calls are followed, but for asserts,
        which hold on the example.
        """
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_filename == PROXY:
            frame = frame.f_back
        if is_asserted(frame):
            return True
        return super().to_bool(obj)

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        """The function that is followed, and its arguments."""
        if self.arguments is None:
            return super().create_args_for_root(root_fn, is_module, concrete_args)
        named = self.arguments(self)

        def called(root: nn.Module) -> Any:
            return root_fn(root, **named)

        return called, [self.root]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a call of a part is one call."""
        if module_qualified_name in self.whole:
            return True
        if type(m).forward is nn.Sequential.forward and not _has_hooks(m):
            return False
        key = key_of(m)
        if key in FROM or key in TRACED or is_pointwise(m) or _has_hooks(m):
            return True
        if hasattr(m, "propagate") and hasattr(m, "message"):
            # A convolution of PyG: what is in it reads links, of which a trace has none.
            return True
        return super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Follow a part, or make it one call where that fails."""
        path = self.path_of_module(m)
        last = next(iter(reversed(self.graph.nodes)), None)
        stack = copy.copy(self.module_stack)
        try:
            return super().call_module(m, forward, args, kwargs)
        except UNTRACEABLE as error:
            # The innermost part that fails becomes one call; those around it are followed on.
            for node in list(reversed(self.graph.nodes)):
                if node is last:
                    break
                self.graph.erase_node(node)
            self.whole[path] = failure_in_words("torch.fx", error)
            self.module_stack = stack
            return self.create_proxy("call_module", path, args, kwargs)


OWN_TENSOR = "_tensor_constant"  # what torch.fx calls tensors that a forward makes


def are_equal(one: Any, other: Tensor) -> bool:
    """Whether something is a tensor of the same numbers and type."""
    if not isinstance(one, Tensor) or one.dtype != other.dtype or one.shape != other.shape:
        return False
    return torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


PROXY = inspect.getfile(fx.Proxy)


def is_asserted(frame: FrameType) -> bool:
    """Whether the value whose truth a frame asks for is that of an `assert`: Python jumps over the
    error where it is true.
    """
    following = [
        step
        for step in dis.get_instructions(frame.f_code)
        if step.offset > frame.f_lasti and step.opname not in SKIPPED
    ]
    return bool(following) and following[0].opname == "LOAD_ASSERTION_ERROR"


# Between the question whether a value is true and what is done where it is not.
SKIPPED = ("CACHE", "EXTENDED_ARG", "NOT_TAKEN", "POP_JUMP_IF_TRUE")


def _has_hooks(module: nn.Module) -> bool:
    held = vars(module).items()
    return any(key.endswith("hooks") and "forward" in key and value for key, value in held)


def run_example(trace: Trace, given: dict[str, Any]) -> dict[fx.Node, Any]:
    """What every call of a trace answers on an example, in evaluation mode.

    Args:
        trace: with a graph.
        given: the arguments of forward by name.
    """
    assert trace.graph is not None
    recorder = ExampleRun(fx.GraphModule(trace.module, trace.graph))
    order = [node.target for node in trace.graph.nodes if node.op == "placeholder"]
    with torch.no_grad():
        recorder.run(*(given.get(str(name).lstrip("*")) for name in order))
    nodes = {node.name: node for node in trace.graph.nodes}
    return {nodes[name]: value for name, value in recorder.answers.items()}


class ExampleRun(fx.Interpreter):
    """Runs a graph and keeps what every node answers."""

    def __init__(self, module: fx.GraphModule):
        super().__init__(module, garbage_collect_values=False)
        self.answers: dict[str, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        """One call."""
        answer = super().run_node(n)
        kept = answer
        if isinstance(answer, Tensor):
            # A later call in place may change the tensor.
            kept = answer.clone()
        self.answers[n.name] = kept
        return answer


def bind(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a model's forward by name, with the defaults of those not given."""
    bound = inspect.signature(module.forward).bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


class Slotted(NamedTuple):
    """The arguments of a call, with a slot for each node among them.

    Attributes:
        args: in order.
        kwargs: by name.
        in_training: both, where training has other ones; else None.
        read: the nodes of the slots.
    """

    args: Any
    kwargs: dict[str, Any]
    in_training: Any
    read: list[fx.Node]


def slots(node: fx.Node) -> Slotted:
    """The arguments of a call in both modes."""
    found: list[fx.Node] = []

    def slot(inner: fx.Node) -> Slot:
        if inner not in found:
            found.append(inner)
        return Slot(found.index(inner))

    args, kwargs = map_arg((node.args, node.kwargs), slot)
    in_training = node.meta.get("in_training")
    if in_training is not None:
        in_training = _plain(map_arg(in_training, slot))
    return Slotted(_plain(args), _plain(kwargs), in_training, found)


def _plain(structure: Any) -> Any:
    """Tuples, lists and dicts of fx as those of Python."""
    if isinstance(structure, Slot):
        return structure
    if isinstance(structure, tuple) and not hasattr(structure, "_fields"):
        return tuple(_plain(part) for part in structure)
    if isinstance(structure, list):
        return [_plain(part) for part in structure]
    if isinstance(structure, dict):
        return {key: _plain(part) for key, part in structure.items()}
    return structure

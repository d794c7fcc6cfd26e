"""Which converter a call has, and the names and checks of the node that it becomes."""

import copy
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn

from geodl.interop.converters import FROM, SCORES, TRACED, Converter, is_kept, key_of
from geodl.interop.whole.layout import Layout
from geodl.interop.whole.on_tensors import close
from geodl.interop.whole.values import Call, Value
from geodl.layer import Network
from geodl.layer.pointwise import ELEMENTWISE


class Entries(NamedTuple):
    """The converters of a call: one that makes a layer, one that knows the whole call, and one that
    knows scores of pairs of nodes.
    """

    layer: Converter | None
    traced: Converter | None
    scores: Converter | None


def entries_of(call: Call) -> Entries:
    """The converters of a call; where its arguments differ in training, those that read both."""
    entries = _known_entries(call)
    if call.in_training is None:
        return entries
    return Entries(*map(_if_of_both_modes, entries))


def _if_of_both_modes(entry: Converter | None) -> Converter | None:
    if entry is not None and entry.modes:
        return entry
    return None


def _known_entries(call: Call) -> Entries:
    key: Any = call.function
    module: Any = call.module
    if module is not None:
        key = key_of(module)
        if key not in FROM and key not in TRACED and is_kept(module):
            if all(type(leaf) in ELEMENTWISE for leaf in _leaves(module)):
                return Entries(Converter(copy_of, "each", ""), None, SCORES.get(key))
            return Entries(Converter(copy_of, "last", ""), None, None)
    elif isinstance(key, str):
        key = getattr(Tensor, key, None)
    elif str(getattr(key, "__module__", "")).startswith("torchvision.ops."):
        # By its name, as torchvision is imported by nobody here.
        key = f"torchvision.{key.__name__}"
    try:
        return Entries(FROM.get(key), TRACED.get(key), SCORES.get(key))
    except TypeError:
        # A function that cannot be hashed has no entry.
        return Entries(None, None, None)


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    parts = list(module.children())
    if not parts:
        yield module
    for part in parts:
        yield from _leaves(part)


def changes_in_place(call: Call) -> bool:
    """Whether a call changes its tensor in place, so that every name of it means the answer."""
    if call.module is not None:
        return bool(getattr(call.module, "inplace", False))
    if isinstance(call.function, str):
        return call.function.endswith("_") and not call.function.endswith("__")
    name = getattr(call.function, "__name__", "")
    inplace = call.kwargs.get("inplace", False) is True
    return inplace or (name.endswith("_") and not name.endswith("__"))


def copy_of(module: nn.Module, on: Any) -> nn.Module:
    """A copy that leaves its input as it is: other nodes may read it."""
    twin: Any = copy.deepcopy(module)
    for part in twin.modules():
        if getattr(part, "inplace", False) is True:
            part.inplace = False
    return twin


def learning_node(nodes: dict[str, tuple[Any, ...]], before: dict[str, Any]) -> str:
    """The first node of a call whose part has parameters; "" without one."""
    for name in nodes:
        part = nodes[name][0]
        learns = isinstance(part, nn.Module) and any(True for _ in part.parameters())
        if name not in before and learns:
            return name
    return ""


def allowed_name(name: str) -> str:
    """The name of a node, with "_" behind words that modules and networks use themselves."""
    pieces = []
    for piece in name.split("."):
        if hasattr(Network, piece) or piece in ("inputs", "outputs", "nodes", "door", "single"):
            piece += "_"
        pieces.append(piece)
    return ".".join(pieces)


def agrees_with(answer: Any, example: Any) -> bool:
    """Whether a value is what the model has on the example; a view whose layout was guessed wrongly
    is not.
    """
    if not isinstance(answer, Value) or answer.layout is None or answer.signal is None:
        return True
    return close(answer.layout.to_tensor(answer.signal), example)


def is_place(name: str, taken: Iterable[str]) -> bool:
    """Whether one of some nodes stands inside a part of this name."""
    return any(other.startswith(f"{name}.") for other in taken)


def layout_after(value: Value, signal: Any) -> Layout:
    """The layout after a layer: as before, with the channels that came out."""
    layout = value.kept
    if signal.x.shape[2] != max(1, layout.num_channels):
        layout = layout.with_channels(signal.x.shape[2])
    return layout


def same_places(value: Value, made: Layout) -> bool:
    """Whether a value's signal lives where a layout would put it."""
    if not made.is_plain():
        return True
    return made.to_signal(value.tensor).domain == value.on.domain

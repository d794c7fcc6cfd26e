"""How tensors of a model are first read as signals: which axis is the batch, nodes, channels."""

from typing import Any

import torch
from torch import Tensor, fx, nn

from geodl.errors import GeodlError
from geodl.interop.converters import FROM, key_of
from geodl.interop.whole import layout as layouts
from geodl.interop.whole.layout import Atom, Layout


def entry_layout(model: nn.Module, node: fx.Node, x: Tensor) -> Layout | None:
    """How an argument is read as a signal: from what reads it first; None for what is none."""
    dims = x.dim()
    if x.dtype == torch.long and 2 <= dims <= 4:
        if dims == 2 and _first_reader(model, node)[0] == "time first":
            return Layout((layouts.nodes(1), (layouts.BATCH,)), "chain")
        return layouts.tokens(dims - 1)
    if not x.is_floating_point() or not 2 <= dims <= 5:
        return None
    reads, places = _first_reader(model, node)
    if reads == "time first" and dims == 3:
        channels = (Atom("channel", 0, x.shape[2]),)
        return Layout((layouts.nodes(1), (layouts.BATCH,), channels), "chain")
    if dims == 2 or reads == "last" or (dims == 3 and reads != "planes"):
        return layouts.last(x.shape[-1], dims - 2)
    return layouts.planes(x.shape[1], dims - 2, places)


def _first_reader(model: nn.Module, start: fx.Node) -> tuple[str, Any]:
    """Where the first call that minds it reads channels, and whether its lattice wraps.

    A call that minds no axis hands the question on to those that read its answer.
    """
    waiting, seen = [start], {start}
    reads, places = "", "grid"
    while waiting:
        node = waiting.pop(0)
        for user in node.users:
            module = None
            if user.op == "call_module":
                module = model.get_submodule(str(user.target))
            found = _reads_of(user, module)
            circular = getattr(module, "padding_mode", "") == "circular"
            if found in ("last", "planes", "second", "time first"):
                reads = "planes" if found == "second" else found
                if circular:
                    places = "torus"
                return reads, places
            if user not in seen and found != "stop":
                seen.add(user)
                waiting.append(user)
    return reads, places


def is_time_first(module: nn.Module) -> bool:
    """Whether a part of torch reads sequences `[T, B, C]`."""
    return any(not getattr(part, "batch_first", True) for part in module.modules())


def _reads_of(node: fx.Node, module: Any) -> str:
    if module is not None and is_time_first(module):
        return "time first"
    if type(module) is nn.Embedding:
        # Tokens become channels, and what reads those says where the sequence is.
        return "each"
    key: Any = node.target
    if module is not None:
        key = key_of(module)
    elif isinstance(key, str):
        key = getattr(Tensor, key, None)
    entry = FROM.get(key)
    if entry is not None:
        return entry.reads
    if isinstance(module, nn.LayerNorm | nn.RMSNorm) and len(module.normalized_shape) == 1:
        return "last"
    if isinstance(module, nn.Softmax | nn.GLU) and module.dim == -1:
        return "last"
    name = getattr(node.target, "__name__", str(node.target))
    moves = ("permute", "transpose", "flatten", "view", "reshape", "movedim", "unsqueeze")
    return "stop" if name in moves else "each"


def default_layout(x: Tensor, reads: str) -> Layout:
    """A layout of a tensor with its channels where they are read."""
    axes = max(0, x.dim() - 2)
    if x.dim() < 2:
        raise GeodlError("a tensor read as a signal", f"{list(x.shape)}", "give a batch axis")
    if reads in ("planes", "second") and axes <= 3:
        return layouts.planes(x.shape[1], axes)
    if axes > 3:
        raise GeodlError("a tensor read as a signal", f"{list(x.shape)}", "give fewer axes")
    return layouts.last(x.shape[-1], axes)


def guess_layout(
    example: Any, found: list[Any], varying: frozenset[int] = frozenset()
) -> tuple[Layout | None, int | None]:
    """How an opaque answer is read as a signal: as one of the values that went in, where it has
    its shape but for the channels; and which one.

    Args:
        example: the answer.
        found: what went in.
        varying: numbers of the example that are none of channels.
    """
    if not isinstance(example, Tensor) or not example.is_floating_point():
        return None, None
    for k, value in enumerate(found):
        layout = getattr(value, "layout", None)
        if layout is None or layout.channel_dim() is None:
            continue
        dim = layout.channel_dim()
        shape, other = list(value.tensor.shape), list(example.shape)
        if len(shape) != len(other):
            continue
        channels = other[dim]
        shape[dim] = channels
        if shape == other and channels not in varying:
            return layout.with_channels(channels), k
    return None, None

"""`nn.Sequential`: layers and pointwise modules that agree on which axis channels are."""

from collections import OrderedDict
from typing import Any

from torch import fx, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.conv import CONVS
from geodl.interop.converters import converts, from_part, to_part
from geodl.interop.norm import BATCH_NORMS, with_axes
from geodl.interop.planes import goes_by_planes
from geodl.interop.pooling import MAX_POOLS, MEAN_POOLS
from geodl.interop.targets import target_of
from geodl.interop.transformer import TRANSFORMERS
from geodl.interop.transposed import TRANSPOSED
from geodl.layer import Attention, Recurrent, Sequential
from geodl.layer.pointwise import ELEMENTWISE, POINTWISE

PLANES = (*CONVS, *TRANSPOSED, *MAX_POOLS, *MEAN_POOLS)
# Pointwise for us, whose channels are last; beside torch's convolutions they act along the width.
LAST_AXIS = tuple(POINTWISE - ELEMENTWISE)
SEVERAL_TENSORS = (nn.RNNBase, nn.MultiheadAttention, *TRANSFORMERS)


@converts(nn.Sequential)
def from_sequential(module: nn.Sequential, on: Domain | None) -> Sequential:
    """`nn.Sequential` as a `Sequential` under the same names.

    Args:
        module: convolutions, linear layers and pointwise modules.
        on: None; a container takes Signals.
    """
    asked = f"from_torch({type(module).__name__})"
    if on is not None:
        raise GeodlError(
            f"{asked} with on={on}", "a container, which takes Signals", "convert without on="
        )
    check_layout(asked, module)
    layer = Sequential()
    # Not named_children(), which leaves out a module that stands in it twice.
    for name, part in module._modules.items():
        assert part is not None
        layer.add_module(name, from_part(part))
    layer.training = module.training
    return layer


@converts(Sequential, back="torch", form="linear layers, convolutions and pointwise modules")
def to_sequential(layer: Sequential, on: Domain | None) -> nn.Sequential | None:
    """The inverse of :func:`from_sequential`; `on` is followed from layer to layer."""
    steps = any(isinstance(part, Recurrent | Attention) for part in layer.modules())
    if steps or goes_by_planes(layer):
        return None
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for name, part in layer._modules.items():
        assert part is not None
        parts[name] = to_part(part, on)
        on = target_of(part, on)
    twin = nn.Sequential(parts)
    set_axes(twin)
    check_layout(f"to_torch({type(layer).__name__})", twin)
    twin.training = layer.training
    return twin


def set_axes(module: nn.Module) -> None:
    """Give batch norms beside convolutions as many axes as those have, and put channels that are
    joined on axis 1: a layer does not know.
    """
    planes = next((part for part in module.modules() if isinstance(part, PLANES)), None)
    if planes is None:
        return
    for part in module.modules():
        if isinstance(part, fx.GraphModule):
            _join_on_axis_1(part)
        for name, inner in part.named_children():
            if type(inner) in BATCH_NORMS:
                setattr(part, name, with_axes(inner, _axes_of(planes)))


def _join_on_axis_1(module: fx.GraphModule) -> None:
    """Let the joins of a network of one's own put channels beside each other on axis 1."""
    for node in module.graph.nodes:
        if node.meta.get("joins_channels"):
            node.args = (node.args[0], 1)
    module.recompile()


def _axes_of(planes: Any) -> int:
    """The axes of the lattice that a convolution or a pooling of torch reads."""
    return int(type(planes).__name__[-2])


def check_layout(asked: str, module: nn.Module) -> None:
    """Refuse a module of torch whose parts disagree about axes.

    torch's convolutions have channels on axis 1, its linear layers on the last: both together mix
    two meanings.
    """
    several = first_of(module, SEVERAL_TENSORS)
    if several:
        raise GeodlError(
            asked,
            f"{several}, which may take or return more than one tensor",
            "convert it alone, and put the layers into a g.Sequential",
        )
    planes, last = first_of(module, PLANES), first_of(module, LAST_AXIS)
    if planes and last:
        raise GeodlError(
            asked,
            f"{planes}, with channels on axis 1, and {last}, on the last",
            "convert the parts one by one, and put them into a g.Sequential as they are meant",
        )


def first_of(module: nn.Module, kinds: tuple[type, ...]) -> str:
    """The name of the first part of one of these types, "" without one."""
    names = (type(part).__name__ for part in module.modules() if isinstance(part, kinds))
    return next(names, "")

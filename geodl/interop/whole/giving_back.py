"""An imported network as a module of its own library again: the calls it came from, with the twins
of its layers as parts.
"""

import copy
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from geodl.domain import Domain, Grid
from geodl.errors import GeodlError
from geodl.interop.channels import PerChannel
from geodl.interop.converters import Library, converts, is_kept, to_module
from geodl.interop.mask import over_all
from geodl.interop.tokens import OwnTokens
from geodl.interop.whole.door import arguments_of
from geodl.interop.whole.guesses import is_time_first
from geodl.interop.whole.on_tensors import Constant, OnTensors
from geodl.interop.whole.owners import tied_names
from geodl.interop.whole.tracing import slots
from geodl.layer import Conv, Network
from geodl.layer.opaque import Opaque
from geodl.neighborhood import full_or_adjacency, itself, window

# F.max_pool2d and the like choose between two functions, and have no name to be pickled by.
POOLS = [f"{kind}max_pool{axes}d" for kind in ("", "adaptive_") for axes in (1, 2, 3)]
PICKLED: dict[Any, Any] = {getattr(F, name): getattr(F, f"_{name}") for name in POOLS}


class Stand(NamedTuple):
    """What stands for a part of the original.

    Attributes:
        path: where in the network its layer is; "" of a part that no layer stands for.
        library: that the part is of.
        domain: the lattice that it read on the example, None of other domains.
        axes: of the lattice that a convolution or a norm of torch says it has; 0 of others.
        module: a copy of a part without parameters that no layer stands for.
        options: attributes of the part that no layer keeps.
        entry: the name of a tensor that is no part, in the twin of the layer that keeps it;
            "weight.T" of a transposed one.
        shape: of such a tensor.
        learns: whether such a tensor is a parameter of the original.
        value: a copy of a tensor that does not learn.
        saved: whether such a tensor is part of the original's state.
    """

    path: str
    library: Library
    domain: Domain | None = None
    axes: int = 0
    module: nn.Module | None = None
    options: tuple[tuple[str, Any], ...] = ()
    entry: str = ""
    shape: tuple[int, ...] = ()
    learns: bool = True
    value: Tensor | None = None
    saved: bool = True


class Origin(NamedTuple):
    """The calls that an imported network came from.

    Attributes:
        graph: of torch.fx.
        parts: what stands for each part of the original, by its path.
        tied: the names of each parameter that has several.
    """

    graph: fx.Graph
    parts: dict[str, Stand]
    tied: list[list[str]]


def origin_of(graph: fx.Graph, parts: dict[str, Stand], module: nn.Module) -> Origin:
    """The record of a model's trace, without what the trace knows besides."""
    plain = copy.deepcopy(graph)
    twins = dict(zip(graph.nodes, plain.nodes, strict=True))
    parts = dict(parts)
    for node, twin in twins.items():
        if "in_training" in node.meta:
            part, read = _in_both_modes(node)
            parts[twin.name] = Stand("", "torch", module=part)
            twin.op, twin.target, twin.kwargs = "call_module", twin.name, {}
            twin.args = tuple(twins[one] for one in read)
    plain.eliminate_dead_code(_is_needed)
    defaults = arguments_of(module)[1]
    for node in plain.nodes:
        if node.op == "placeholder" and node.target in defaults:
            # torch.export knows no defaults.
            node.args = (defaults[node.target],)
        node.meta = {}
        if node.kwargs.get("return_indices") is not True:
            node.target = PICKLED.get(node.target, node.target)
    # Built anew: a graph also keeps its calls by function, as they were.
    fresh = fx.Graph()
    fresh.output(fresh.graph_copy(plain, {}))
    return Origin(fresh, parts, tied_names(module))


DROPOUTS: dict[Any, type[nn.Module]] = {
    F.dropout: nn.Dropout,
    torch.dropout: nn.Dropout,
    F.dropout1d: nn.Dropout1d,
    F.dropout2d: nn.Dropout2d,
    F.dropout3d: nn.Dropout3d,
    F.alpha_dropout: nn.AlphaDropout,
    F.feature_alpha_dropout: nn.FeatureAlphaDropout,
}


def _in_both_modes(node: fx.Node) -> tuple[nn.Module, list[fx.Node]]:
    """A call whose arguments differ in training as a module, which has a mode where a trace has the
    arguments of one; and what it reads.
    """
    args, kwargs, in_training, read = slots(node)
    if node.target in DROPOUTS and len(read) == 1:
        names = ("input", "p", "training", "inplace")
        options = {"p": 0.5, **dict(zip(names, in_training[0], strict=False)), **in_training[1]}
        if options.get("training", True) is True:
            return DROPOUTS[node.target](options["p"]), read
    reads = (None,) * len(read)
    function = PICKLED.get(node.target, node.target)
    return OnTensors(function, args, kwargs, reads, in_training=in_training), read


def _is_needed(node: fx.Node) -> bool:
    """Whether a call counts though nobody reads its answer: it changes a tensor in place."""
    name = getattr(node.target, "__name__", str(node.target))
    in_place = name.endswith("_") or name in ("iadd", "isub", "imul", "itruediv", "setitem")
    return node.op in ("placeholder", "output") or in_place


@converts(Network, back="torch", form="the nodes of an import")
@converts(Network, back="pyg", form="the nodes of an import")
def give_back(network: Network, on: Domain | None) -> nn.Module | None:
    """An imported network as a `torch.fx.GraphModule` that computes what its original does, with
    the same names of parts and parameters.

    Raises:
        GeodlError: if a node has no twin.
    """
    origin: Origin | None = getattr(network.door, "origin", None)
    if origin is None:
        return None
    parts: dict[str, Any] = {}
    for node in origin.graph.nodes:
        path = str(node.target)
        if node.op in ("call_module", "get_attr") and path not in parts:
            parts[path] = _part(network, node, origin.parts.get(path))
    twin = fx.GraphModule(parts, copy.deepcopy(origin.graph), type(network).__name__)
    twin.train(network.training)
    for path, part in parts.items():
        if isinstance(part, nn.Module):
            _copy_modes(part, twin.get_submodule(path))
        elif path in origin.parts and not origin.parts[path].saved:
            owner, _, name = path.rpartition(".")
            twin.get_submodule(owner)._non_persistent_buffers_set.add(name)
    for names in origin.tied:
        _tie(twin, names)
    return twin


def _part(network: Network, call: fx.Node, stand: Stand | None) -> Any:
    """The twin of what stands for a part, or the tensor that it keeps."""
    if stand is not None and stand.module is not None:
        return copy.deepcopy(stand.module)
    known = {node.path for node in network.nodes}
    if stand is not None and stand.value is not None and not stand.path:
        # As a mask, which became a rule.
        return stand.value.detach().clone()
    if stand is None or not stand.path or stand.path not in known:
        raise GeodlError(
            f"{type(network).__name__} given back",
            f"the part {str(call.target)!r} of the original, for which no node stands",
            "convert the layers one by one",
        )
    layer: Any = network[stand.path]
    if stand.entry and call.op == "get_attr":
        return _entry_of(layer, stand)
    if isinstance(layer, Opaque):
        return _opaque_part(layer)
    if isinstance(layer, Conv) and layer.rule == itself() and stand.axes:
        # A window of one place, on one node.
        layer = layer.over(window((1,) * stand.axes))
    if stand.library == "torch":
        # The mask is an argument of the call, as it was.
        layer = over_all(layer, full_or_adjacency())
    if is_kept(layer):
        return copy.deepcopy(layer)
    twin = to_module(layer, stand.domain, stand.library)
    for part in twin.modules():
        for name, value in stand.options:
            if hasattr(part, name):
                vars(part)[name] = value
    return twin


def _entry_of(layer: Any, stand: Stand) -> Tensor:
    """A tensor of the original, out of the twin of the layer that keeps it."""
    if "." in stand.entry.removesuffix(".T"):
        # Behind a parametrization, as the model has it.
        owner, _, name = stand.entry.rpartition(".")
        layer = layer.get_submodule(owner)
        stand = stand._replace(entry=name)
    elif isinstance(layer, Opaque):
        layer = _opaque_part(layer)
    elif not is_kept(layer) and not isinstance(layer, PerChannel | OwnTokens):
        layer = to_module(layer, stand.domain, stand.library)
    value = getattr(layer, stand.entry.removesuffix(".T"))
    trains = value.requires_grad
    value = value.detach()
    if stand.entry.endswith(".T"):
        value = value.T
    value = value.clone().reshape(stand.shape)
    if stand.learns:
        return nn.Parameter(value, requires_grad=trains)
    return value


def _tie(twin: nn.Module, names: list[str]) -> None:
    """One parameter under several names, as in the original, where the calls have them all."""
    found = []
    for name in names:
        path, _, attribute = name.rpartition(".")
        try:
            owner = twin.get_submodule(path)
        except AttributeError:
            # A name that no call reads.
            continue
        if attribute in owner._parameters:
            found.append((owner, attribute))
    for owner, attribute in found[1:]:
        setattr(owner, attribute, getattr(*found[0]))


def _opaque_part(layer: Opaque) -> Any:
    """The module, or the tensor, that an opaque node holds."""
    inner: Any = layer.function
    if isinstance(inner, Constant):
        value = inner.value.detach().clone()
        if isinstance(inner.value, nn.Parameter):
            return nn.Parameter(value, requires_grad=inner.value.requires_grad)
        return value
    return copy.deepcopy(inner.function)


def _copy_modes(part: nn.Module, twin: nn.Module) -> None:
    for one, other in zip(part.modules(), twin.modules(), strict=True):
        other.training = one.training


def lattice_of(domain: Any, axes: int) -> Domain | None:
    """A domain with a lattice, which tells how many axes a module of torch reads.

    Args:
        domain: that the module read on the example, or None.
        axes: that its class names; 0 where it names none.
    """
    if domain is None or domain.lattice is None or domain.cache is not None:
        domain = None
    if axes and (domain is None or len(domain.lattice) != axes):
        # It was read in another layout.
        return Grid(*(1,) * axes)
    return domain


def options_of(module: Any) -> tuple[tuple[str, Any], ...]:
    """The attributes of a part that no layer keeps, by name: which axis is time, copied borders."""
    options: dict[str, Any] = {}
    if is_time_first(module):
        options["batch_first"] = False
    if getattr(module, "padding_mode", "zeros") in ("reflect", "replicate"):
        for name in ("padding", "padding_mode", "_reversed_padding_repeated_twice"):
            options[name] = getattr(module, name)
    return tuple(options.items())


def axes_of(module: nn.Module) -> int:
    """The axes that the class of a convolution or a norm of torch names; 0 of other modules."""
    name = type(module).__name__
    if name.endswith(("1d", "2d", "3d")) and hasattr(module, "weight"):
        return int(name[-2])
    return 0

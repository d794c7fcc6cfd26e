"""What a layer refuses, in words: signals, pairs, states and rules that do not fit it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from geodl.constants import cached_constants
from geodl.domain import Domain, same_place, told_apart
from geodl.errors import GeodlError
from geodl.neighborhood import Neighborhood
from geodl.signal import Signal
from geodl.signal.check import batch_of, mixes_dtypes

Shape = tuple[int | None, ...]


def check_signal(layer: Any, signal: Any, channels: int | None = None) -> Signal:
    """A signal that the layer, or the plain module, can take.

    Args:
        layer: who takes it.
        signal: what is to be a signal.
        channels: how many it has to have; by default as many as the layer reads.

    Raises:
        GeodlError: no Signal, sparse values, tokens; other channels, another device or dtype than
            the layer's.
    """
    # Asked here and not in check_is_signal: every layer's call passes by.
    if not isinstance(signal, Signal):
        check_is_signal(layer, signal)
    check_values(layer, signal.x, signal.domain, channels)
    return signal


def check_is_signal(layer: Any, signal: Any) -> None:
    """Refuse what is no Signal."""
    if not isinstance(signal, Signal):
        do = "give a Signal, or build it with on="
        if getattr(layer, "on", None) is not None:
            do = "give a Signal"
        raise GeodlError(f"{_name(layer)} called", f"a {type(signal).__name__}", do)


def check_values(layer: Any, x: Tensor, domain: Domain, channels: int | None = None) -> None:
    """Refuse a signal's values that the layer, or the plain module, cannot take.

    Args:
        layer: who takes them.
        x: the values.
        domain: where they live.
        channels: as in :func:`check_signal`.

    Raises:
        GeodlError: as :func:`check_signal`.
    """
    if x.layout != torch.strided and not getattr(layer, "takes_sparse", False):
        raise GeodlError(
            f"{_name(layer)} on {domain}",
            "sparse values, which only Conv, Attention and Dropout read",
            "give dense ones: x.to_dense()[None]",
        )
    if not x.is_floating_point():
        _refuse_dtype(layer, x, domain)
    if channels is None:
        channels = channels_read(layer)
    if channels is not None and x.shape[-1] != channels:
        raise GeodlError(
            f"{_name(layer)} on {domain}",
            f"{x.shape[-1]} channels",
            f"give {channels} channels",
        )
    # The first one stands for all: `parameters()` walks through every part at every call.
    weight = next(iter(layer._parameters.values()), None)
    if weight is not None and (weight.dtype != x.dtype or weight.device != x.device):
        _check_parameters(layer, weight, x)


def _refuse_dtype(layer: Any, x: Tensor, domain: Domain) -> None:
    """Refuse values that are no real numbers, in the words for their kind."""
    asked = f"{_name(layer)} on {domain}"
    if x.is_complex():
        found = "complex values, which no layer reads"
        raise GeodlError(asked, found, "go back first: g.fourier_inverse(signal)")
    raise GeodlError(asked, "tokens, which only Embedding reads", "begin with an Embedding")


def _check_parameters(layer: Any, weight: Tensor, x: Tensor) -> None:
    """Refuse values on another device, or of another dtype, than a parameter of the layer."""
    if weight.device != x.device:
        found = f"the signal on {x.device} and the layer on {weight.device}"
        raise GeodlError(_name(layer), found, "move both to one device with .to(device)")
    if not mixes_dtypes(x.device):
        found = f"a signal of {x.dtype} and parameters of {weight.dtype}"
        raise GeodlError(_name(layer), found, "convert one of them with .to(dtype)")


def channels_read(module: Any) -> int | None:
    """The channels that a layer or a plain module reads; None where it takes any.

    >>> channels_read(torch.nn.Linear(3, 8)), channels_read(torch.nn.ReLU())
    (3, None)
    """
    # Instance attributes only: for what it lacks, a module goes through three tables first.
    held = vars(module)
    channels = held.get("channels_in") or held.get("in_features")
    if channels is None and "normalized_shape" in held:
        return held["normalized_shape"][-1]
    return channels or None


def check_pair(layer: Any, receiver: Any, sender: Any) -> Signal:
    """The sender's signal, once it is known to fit the receiver.

    Raises:
        GeodlError: as :func:`check_signal`; receivers of another batch, device or dtype.
    """
    # Of a layer that reads senders of another kind they have channels of their own.
    source = check_signal(layer, sender, vars(layer).get("context_channels"))
    if not isinstance(receiver, Signal):
        raise GeodlError(
            f"{_name(layer)} called",
            f"a {type(receiver).__name__} as the receiver of a Signal",
            "give two Signals",
        )
    mixed = mixes_dtypes(source.device)
    found, do = "", ""
    senders, receivers = batch_of(source.x), batch_of(receiver.x)
    if senders != receivers:
        found = f"a batch of {senders} for a batch of {receivers}"
        do = "give equal batches"
    elif receiver.x.device != source.x.device:
        found = f"senders on {source.x.device} and receivers on {receiver.x.device}"
        do = "use one device"
    elif receiver.x.dtype != source.x.dtype and not mixed:
        found = f"senders of {source.x.dtype} and receivers of {receiver.x.dtype}"
        do = "convert one with .to(dtype)"
    if found:
        asked = f"{_name(layer)} from {source.domain} to {receiver.domain}"
        raise GeodlError(asked, found, do)
    return source


def check_edges_read(layer: Any, edges: Tensor | None, channels: int, like: Tensor) -> Tensor:
    """The state of edges, once it is known that a layer can read it.

    Args:
        layer: who reads it.
        edges: of the signal, `[1 or B, E, C_e]`, or None.
        channels: C_e of the layer.
        like: a parameter that it meets.

    Raises:
        GeodlError: if there is no state of edges, or if it has other channels or another dtype than
            the layer.
    """
    found, do = "", f"give {channels} channels"
    if edges is None:
        do = f"give Signal(x, domain, edges=...), a row of {channels} channels for each link"
        do += "; over a relation relation.with_edges(e)"
        raise GeodlError(
            f"{_name(layer)}, which reads edges", "a signal without a state of edges", do
        )
    if edges.shape[2] != channels:
        found = f"edges of {edges.shape[2]} channels"
    elif edges.dtype != like.dtype and not mixes_dtypes(edges.device):
        found = f"edges of {edges.dtype} and parameters of {like.dtype}"
        do = "convert one of them with .to(dtype)"
    if found:
        raise GeodlError(f"{_name(layer)}, which reads edges", found, do)
    return edges


def check_state(layer: Any, state: Any, x: Tensor, *shapes: Shape) -> None:
    """Refuse a state that is not tensors of these shapes, of the dtype and on the device of x.

    Args:
        layer: what is asked to continue.
        state: what it was given.
        x: the signal's values.
        shapes: of the tensors; None stands for any one length, the same in all of them.
    """
    parts = state if isinstance(state, tuple | list) else [state]
    if parts is state and len(parts) == len(shapes) and _fit(parts, x, shapes):
        return
    found = [_said_of(part) for part in parts]
    named = " and ".join(map(_shape_in_words, shapes))
    do = f"give what step returned, {named} like the signal's values"
    raise GeodlError(f"{_name(layer)} with a state", f"{found}", do)


def _fit(parts: Sequence[Any], x: Tensor, shapes: tuple[Shape, ...]) -> bool:
    lengths = set[int]()
    for part, shape in zip(parts, shapes, strict=True):
        if not isinstance(part, Tensor) or part.dim() != len(shape) or part.device != x.device:
            return False
        # Under autocast a state comes out of a kernel in its own precision.
        if part.dtype != x.dtype and not mixes_dtypes(x.device):
            return False
        for length, wanted in zip(part.shape, shape, strict=True):
            if wanted is None:
                lengths.add(length)
            elif wanted != length:
                return False
    return len(lengths) < 2


def _said_of(part: Any) -> Any:
    if isinstance(part, Tensor):
        return list(part.shape), part.dtype, str(part.device)
    return type(part).__name__


def _shape_in_words(shape: Shape) -> str:
    return str(list(shape)).replace("None", "any")


def check_rule(name: str, rule: Any) -> Neighborhood:
    """A rule, and nothing else."""
    if not isinstance(rule, Neighborhood):
        raise GeodlError(
            f"{name} over {rule!r}", f"a {type(rule).__name__}", "give a rule, as window(3)"
        )
    return rule


def check_place(layer: Any, receiver: Signal, sender: Any) -> None:
    """Refuse senders elsewhere than on the domain of a layer, or on a union of it."""
    domain = receiver.domain
    if isinstance(sender, Signal):
        domain = sender.domain
    if same_place(domain, layer.on) or all(same_place(part, layer.on) for part in domain.kinds):
        return
    found = f"a Signal on {told_apart(domain, layer.on)}"
    do = "give one there, or a tensor [B, N, C], or build the layer without on="
    raise GeodlError(f"{type(layer).__name__} built with on={layer.on}", found, do)


def check_other_rule(layer: Any, rule: Any) -> Neighborhood:
    """A rule in place of a layer's own, which has as many edge types as the layer has weights.

    Raises:
        GeodlError: no rule; a layer without one; another number of edge types.
    """
    if layer.rule is None:
        raise GeodlError(
            f"{_name(layer)} called with rule={rule}",
            "a layer without a rule of its own",
            "name the rule at the layer that has one, or exchange it there: layer.over(rule)",
        )
    if not isinstance(rule, Neighborhood):
        check_rule(_name(layer), rule)
    if getattr(layer, "bias_type", None) is not None and rule != layer.rule:
        found = "a bias on orbits of nodes, which another rule does not know"
        raise GeodlError(f"{_name(layer)} over {rule}", found, "build it with bias=False")
    types = getattr(getattr(layer, "options", None), "edge_types", None)
    if types is not None and rule.num_edge_types not in (types, None):
        raise GeodlError(
            f"{_name(layer)} over {rule}",
            f"{rule.num_edge_types} edge types in place of {types}",
            "choose a neighborhood with as many types",
        )
    return rule


def count_types(rule: Neighborhood, on: Domain | None) -> int:
    """T of a layer: the rule's own, or the domain's.

    Raises:
        GeodlError: no rule; a number of types that only a domain decides, and none given.
    """
    check_rule("a layer", rule)
    if on is not None:
        with cached_constants():  # the layer may be built on another default device, as meta
            return rule.num_types(on)
    if rule.num_edge_types is None:
        raise GeodlError(
            f"a typed layer over {rule}",
            "edge types that the domain decides",
            "build it with on=domain",
        )
    return rule.num_edge_types


def check_no_sender(layer: Any, sender: Any) -> None:
    """Refuse a sender where a layer receives from its own signal only."""
    if sender is not None:
        raise GeodlError(
            f"{_name(layer)} with a sender",
            "a second signal",
            "it receives from its own domain only: give one signal",
        )


def check_sender_taken(layer: Any, sender: Any) -> None:
    """Refuse a second signal that no layer of a container takes."""
    if sender is None or layer.takes_context:
        return
    found = "a second signal that no layer in it takes"
    do = "wrap the layer that is to receive from it: Cross(layer)"
    if isinstance(sender, Tensor):  # (x, edge_index), as models of PyG are called
        found = "a tensor in place of a second signal"
        do = "give one Signal on a graph: Signal(x[None], Graph(edge_index, num_nodes))"
    raise GeodlError(f"{_name(layer)} with a sender", found, do)


def check_domain(asked: str, domain: Any) -> Domain:
    """A domain, and nothing else."""
    if not isinstance(domain, Domain):
        raise GeodlError(asked, f"a {type(domain).__name__}", "give a domain, as Grid(28, 28)")
    return domain


def check_messages(layer: Any, name: str, y: Any, like: Tensor) -> Tensor:
    """What a function of the user answered, once it is known to be one row of channels for each row
    of what it was given.

    Args:
        layer: the layer that called the function.
        name: what the layer calls the function.
        y: its answer.
        like: a tensor `[B, E, C]` that it was given.

    Raises:
        GeodlError: no tensor, or one that is not `[B, E, C_out]`.
    """
    if isinstance(y, Tensor) and y.dim() == 3 and y.shape[:2] == like.shape[:2]:
        return y
    found = f"a {name} that answers with a {type(y).__name__}"
    if isinstance(y, Tensor):
        found = f"a {name} of shape {list(y.shape)} for values of shape {list(like.shape)}"
    raise GeodlError(_name(layer), found, f"give [{like.shape[0]}, {like.shape[1]}, C]")


def check_callable(asked: str, function: Any) -> None:
    """Refuse what cannot be called where a function or a module is wanted."""
    if not callable(function):
        do = "give a function of tensors, or a module"
        raise GeodlError(asked, f"a {type(function).__name__}", do)


def check_function(layer: Any, name: str, function: Any, x: Tensor) -> None:
    """Refuse a module of the user's whose parameters have another dtype, or are elsewhere, than the
    values it is given: asked once it has failed, for it may convert what it reads.

    Args:
        layer: the layer that called it.
        name: what the layer calls it.
        function: a module, or a function, of which nothing is known.
        x: values that it was given.

    Raises:
        GeodlError: if a parameter has another device or, but under autocast, another dtype.
    """
    if not isinstance(function, nn.Module):
        return
    for parameter in function.parameters():
        if parameter.device != x.device:
            found = f"values on {x.device} and a {name} on {parameter.device}"
            raise GeodlError(_name(layer), found, "move both to one device with .to(device)")
        differs = parameter.is_floating_point() and parameter.dtype != x.dtype
        if differs and not mixes_dtypes(x.device):
            found = f"values of {x.dtype} and a {name} with parameters of {parameter.dtype}"
            raise GeodlError(_name(layer), found, "convert one of them with .to(dtype)")


def check_read_state(layer: Any, name: str, state: Tensor, x: Tensor) -> Tensor:
    """A state of edges or of graphs that a layer reads, for every row of the batch.

    Args:
        layer: the layer.
        name: "edges" or "globals".
        state: `[1 or B, rows, C]`.
        x: the values of the nodes, `[B, N, C]`.

    Raises:
        GeodlError: another dtype than that of the values.
    """
    if state.dtype != x.dtype and not mixes_dtypes(x.device):
        found = f"{name} of {state.dtype} and values of {x.dtype}"
        raise GeodlError(_name(layer), found, "convert one of them with .to(dtype)")
    return state.expand(x.shape[0], -1, -1)


def check_globals_given(layer: Any, state: Tensor | None) -> Tensor:
    """The state of graphs, which a layer needs.

    Raises:
        GeodlError: a signal without one.
    """
    if state is None:
        do = "give them: signal.with_globals(u), u [B, D, C]"
        raise GeodlError(f"{_name(layer)} called", "a signal without globals", do)
    return state


def _name(layer: Any) -> str:
    return getattr(layer, "label", type(layer).__name__)

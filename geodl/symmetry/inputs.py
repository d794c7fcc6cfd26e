"""The inputs on which a model is certified: given signals, or zeros on given domains."""

from typing import Any

import torch
from torch import nn

from geodl.domain import Domain, same_place, told_apart
from geodl.errors import GeodlError
from geodl.layer import Cross, Embedding, Layer, MessagePassing, Network
from geodl.layer.check import channels_read, check_domain
from geodl.signal import Signal
from geodl.symmetry.turning import DomainOrSignal, domain_of


def read_ends(asked: str, domain: Any) -> list[DomainOrSignal]:
    """The ends of a model's edges, receivers first: one domain or signal, or a pair of them.

    Raises:
        GeodlError: if it is anything else.
    """
    ends = [domain]
    if isinstance(domain, tuple | list):
        ends = list(domain)
    if not 1 <= len(ends) <= 2:
        raise GeodlError(asked, f"{len(ends)} domains", "give one, or (receivers, senders)")
    for end in ends:
        if not isinstance(end, Signal):
            check_domain(asked, end)
    return ends


def inputs_of(model: nn.Module, ends: list[DomainOrSignal]) -> list[Any]:
    """What a model is called with: signals; a tensor where its layers were built with `on=` and it
    is a module of torch, or one of them.

    Raises:
        GeodlError: if one domain is given for a model of two signals; if the domain is not the
            layers' own.
    """
    name = f"certify({type(model).__name__}, domain)"
    if len(ends) == 1 and getattr(model, "takes_context", False):
        do = "give both domains: certify(model, (receivers, senders))"
        raise GeodlError(name, "a model of two signals", do)
    layers = [m for m in model.modules() if isinstance(m, Layer)]
    own = next((layer.on for layer in layers if layer.on is not None), None)
    if own is not None:
        domain = domain_of(ends[0])
        if len(ends) > 1 or domain != own:
            found = f"layers built with on={told_apart(own, domain)}"
            raise GeodlError(f"{name} on {domain}", found, "certify it there")
        zeros = _zeros(model, own)
        if isinstance(model, Layer):
            return [zeros]
        return [zeros.x]
    # Zeros have as many rows as the signal beside them.
    batch = max([end.x.shape[0] for end in ends if isinstance(end, Signal)], default=1)
    # An import knows what its original was called with.
    known = getattr(getattr(model, "door", None), "channels", (None,) * len(ends))
    signals = []
    for end, reader, channels in zip(ends, _readers(model, len(ends)), known, strict=True):
        signal = end
        if not isinstance(signal, Signal):
            signal = _zeros(reader, signal, batch, channels)
        signals.append(signal)
    return signals


def with_receivers(layer: MessagePassing, ends: list[DomainOrSignal]) -> list[DomainOrSignal]:
    """The receivers' domain beside the senders', where a layer reads receivers and its rule puts
    them elsewhere.
    """
    source = domain_of(ends[-1])
    if len(ends) > 1 or layer.on is not None or not layer.options.reads_receivers:
        return ends
    target = layer.rule.target(source)
    if same_place(target, source):
        return ends
    return [target, *ends]


def _readers(model: nn.Module, count: int) -> list[nn.Module]:
    """For each signal the module that is called with it first."""
    if count == 1:
        return [model]
    if isinstance(model, Network):
        return model.readers()
    crossed = next((m for m in model.modules() if isinstance(m, Cross)), model)
    return [getattr(model, "decoder", model), getattr(model, "encoder", crossed)]


def _zeros(
    reader: nn.Module, domain: Domain, batch: int = 1, channels: int | None = None
) -> Signal:
    """Zeros of the dtype and device that the first layer of a module reads, and of its channels
    where no others are named.
    """
    nowhere = torch.zeros(0, device=domain.device or "cpu")
    like = next(reader.parameters(), nowhere)
    first = next((m for m in reader.modules() if channels_read(m) is not None), None)
    dtype = like.dtype
    if channels is None and first is not None:
        channels = channels_read(first)
    if isinstance(first, Embedding):
        dtype = torch.long
    x = torch.zeros(batch, domain.num_nodes, channels or 1, dtype=dtype, device=like.device)
    return Signal(x, domain)

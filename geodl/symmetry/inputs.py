"""What a model is run on to be certified: the signals that were given, or zeros on domains."""

from typing import Any

import torch
from torch import nn

from geodl.domain import Domain, same_place, told_apart
from geodl.errors import GeodlError
from geodl.layer import Cross, Embedding, Layer, MessagePassing
from geodl.layer.check import channels_read, check_domain
from geodl.signal import Signal

Place = Domain | Signal


def read_places(asked: str, domain: Any) -> list[Place]:
    """Where signals live, receivers first: one domain or signal, or a pair of them.

    Raises:
        GeodlError: anything else.
    """
    places = [domain]
    if isinstance(domain, tuple | list):
        places = list(domain)
    if len(places) > 2:
        raise GeodlError(asked, f"{len(places)} domains", "give one, or (receivers, senders)")
    for place in places:
        if not isinstance(place, Signal):
            check_domain(asked, place)
    return places


def domain_of(place: Place) -> Domain:
    """The domain itself, or that of a signal."""
    return place.domain if isinstance(place, Signal) else place


def inputs_of(model: nn.Module, places: list[Place]) -> list[Any]:
    """What a model is called with: signals; a tensor where its layers were built with `on=`.

    Raises:
        GeodlError: one domain for a model of two signals; another domain than the layers' own.
    """
    name = f"certify({type(model).__name__}, domain)"
    if len(places) == 1 and getattr(model, "takes_context", False):
        do = "give both domains: certify(model, (receivers, senders))"
        raise GeodlError(name, "a model of two signals", do)
    layers = [m for m in model.modules() if isinstance(m, Layer)]
    own = next((layer.on for layer in layers if layer.on is not None), None)
    if own is not None:
        domain = domain_of(places[0])
        if len(places) > 1 or domain != own:
            found = f"layers built with on={told_apart(own, domain)}"
            raise GeodlError(f"{name} on {domain}", found, "certify it there")
        return [_zeros(model, own).x]
    # Zeros have as many rows as the signal beside them.
    batch = max([place.x.shape[0] for place in places if isinstance(place, Signal)], default=1)
    signals = []
    for place, reader in zip(places, _readers(model, len(places)), strict=True):
        signal = place
        if not isinstance(signal, Signal):
            signal = _zeros(reader, signal, batch)
        signals.append(signal)
    return signals


def with_receivers(layer: MessagePassing, places: list[Place]) -> list[Place]:
    """The receivers' domain beside the senders', where a layer reads receivers and its rule puts
    them elsewhere.
    """
    source = domain_of(places[-1])
    if len(places) > 1 or layer.on is not None or not layer.options.reads_receivers:
        return places
    target = layer.rule.target(source)
    if same_place(target, source):
        return places
    return [target, *places]


def _readers(model: nn.Module, count: int) -> list[nn.Module]:
    """The part of a model that reads each signal first."""
    if count == 1:
        return [model]
    crossed = next((m for m in model.modules() if isinstance(m, Cross)), model)
    return [getattr(model, "decoder", model), getattr(model, "encoder", crossed)]


def _zeros(reader: nn.Module, domain: Domain, batch: int = 1) -> Signal:
    """Zeros of the channels, dtype and device that the first layer of a module reads."""
    like = next(reader.parameters(), torch.zeros(0))
    first = next((m for m in reader.modules() if channels_read(m) is not None), None)
    channels, dtype = 1, like.dtype
    if first is not None:
        channels = channels_read(first) or 1
    if isinstance(first, Embedding):
        dtype = torch.long
    x = torch.zeros(batch, domain.num_nodes, channels, dtype=dtype, device=like.device)
    return Signal(x, domain)

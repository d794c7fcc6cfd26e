"""What a layer refuses, in words: signals, pairs, states and rules that do not fit it."""

from typing import Any

import torch
from torch import Tensor

from geodl.errors import GeodlError
from geodl.neighborhood import Neighborhood
from geodl.signal import Signal


def check_signal(layer: Any, signal: Any, channels: int | None = None) -> Signal:
    """A signal that the layer can take: a Signal, of the layer's channels, dtype and device."""
    if not isinstance(signal, Signal):
        do = (
            "give a Signal"
            if getattr(layer, "on", None) is not None
            else "give a Signal, or build it with on="
        )
        raise GeodlError(f"{_name(layer)} called", f"a {type(signal).__name__}", do)
    if signal.x.layout != torch.strided and not getattr(layer, "takes_sparse", False):
        asked = f"{_name(layer)} on {signal.domain}"
        raise GeodlError(
            asked,
            "sparse values, which only Conv and Dropout read",
            "give dense ones: x.to_dense()[None]",
        )
    if not signal.x.is_floating_point():
        raise GeodlError(
            f"{_name(layer)} on {signal.domain}",
            "tokens, which only Embedding reads",
            "begin with an Embedding",
        )
    wanted = getattr(layer, "channels_in", None) if channels is None else channels
    if wanted is not None and signal.x.shape[-1] != wanted:
        raise GeodlError(
            f"{_name(layer)} on {signal.domain}",
            f"{signal.x.shape[-1]} channels",
            f"give {wanted} channels",
        )
    weight = next(iter(layer._parameters.values()), None)
    if weight is not None:
        if weight.device != signal.x.device:
            found = f"the signal on {signal.x.device} and the layer on {weight.device}"
            raise GeodlError(_name(layer), found, "move both to one device with .to(device)")
        if weight.dtype != signal.x.dtype and not torch.is_autocast_enabled(signal.x.device.type):
            found = f"a signal of {signal.x.dtype} and parameters of {weight.dtype}"
            raise GeodlError(_name(layer), found, "convert one of them with .to(dtype)")
    return signal


def check_pair(layer: Any, receiver: Any, sender: Any) -> Signal:
    """The sender's signal, once it is known that the receiver can hear it."""
    source = check_signal(layer, sender)
    if not isinstance(receiver, Signal):
        raise GeodlError(
            f"{_name(layer)} called",
            f"a {type(receiver).__name__} that hears a Signal",
            "give two Signals",
        )
    batches = [1 if s.x.layout == torch.sparse_csr else s.x.shape[0] for s in (source, receiver)]
    if batches[0] != batches[1]:
        asked = f"{_name(layer)} from {source.domain} to {receiver.domain}"
        raise GeodlError(
            asked, f"a batch of {batches[0]} heard by a batch of {batches[1]}", "give equal batches"
        )
    if receiver.x.device != source.x.device:
        asked = f"{_name(layer)} from {source.domain} to {receiver.domain}"
        raise GeodlError(
            asked,
            f"senders on {source.x.device} and receivers on {receiver.x.device}",
            "use one device",
        )
    if receiver.x.dtype != source.x.dtype and not torch.is_autocast_enabled(source.x.device.type):
        asked = f"{_name(layer)} from {source.domain} to {receiver.domain}"
        raise GeodlError(
            asked,
            f"senders of {source.x.dtype} and receivers of {receiver.x.dtype}",
            "convert one with .to(dtype)",
        )
    return source


def check_state(layer: Any, state: Any, x: Tensor, *shapes: tuple[int | None, ...]) -> None:
    """Refuse a state that is not tensors of these shapes (None: any one length), of the dtype and
    on the device of x.
    """
    mixed, lengths = torch.is_autocast_enabled(x.device.type), set[int]()

    def fits(s: Any, shape: tuple[int | None, ...]) -> bool:
        if (
            not isinstance(s, Tensor)
            or s.dim() != len(shape)
            or s.device != x.device
            or not (mixed or s.dtype == x.dtype)
        ):
            return False
        lengths.update(n for n, wanted in zip(s.shape, shape, strict=True) if wanted is None)
        return len(lengths) < 2 and all(
            wanted in (None, n) for n, wanted in zip(s.shape, shape, strict=True)
        )

    several = isinstance(state, tuple | list)
    if not several or len(state) != len(shapes) or not all(map(fits, state, shapes)):
        parts = state if several else [state]
        found = [
            (list(s.shape), s.dtype, str(s.device)) if isinstance(s, Tensor) else type(s).__name__
            for s in parts
        ]
        named = " and ".join(
            f"[{', '.join('any' if n is None else str(n) for n in shape)}]" for shape in shapes
        )
        do = f"give what step returned, {named} like the signal's values"
        raise GeodlError(f"{_name(layer)} with a state", f"{found}", do)


def check_rule(name: str, rule: Any) -> Neighborhood:
    """A rule, and nothing else."""
    if not isinstance(rule, Neighborhood):
        raise GeodlError(
            f"{name} over {rule!r}",
            f"a {type(rule).__name__}",
            "give a rule, as window(3)",
        )
    return rule


def check_no_sender(layer: Any, sender: Any) -> None:
    """Refuse a sender where a layer hears only its own signal."""
    if sender is not None:
        raise GeodlError(
            f"{_name(layer)} with a sender",
            "a second signal",
            "it hears its own domain: give one signal",
        )


def _name(layer: Any) -> str:
    return getattr(layer, "label", type(layer).__name__)

"""What every layer is, and the one place where signals meet lowerings."""

import copy
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError, nearest
from geodl.layer.folding import Folded, fold, unfolded
from geodl.lowering import LOWERINGS, Planned, ask_for, choose, planned
from geodl.lowering.base import keep
from geodl.neighborhood import Neighborhood
from geodl.signal import Signal


class Layer(nn.Module, ABC):
    """A map from signals to signals. Only subclasses of Layer take Signals.

    Attributes:
        takes_sparse: whether it takes a signal with sparse values.
        nodewise: whether it treats each node alone.
        placed: whether it tells nodes apart by where they stand, which no symmetry survives.
        crosses: whether it, or a layer in it, hears the second signal of a call wherever it stands.
        on: its own domain, on which it takes and returns tensors `[B, N, C]`; None for Signals.
    """

    takes_sparse: ClassVar[bool] = False
    nodewise: ClassVar[bool] = False
    placed: bool = False
    crosses: bool = False
    on: Domain | None = None

    @property
    def label(self) -> str:
        """The layer in one line."""
        return f"{type(self).__name__}({self.extra_repr()})"

    def _placed(self, x: Any) -> Signal:
        """A tensor as a signal on this layer's own domain."""
        if isinstance(x, Signal):
            asked = f"{type(self).__name__} built with on={self.on}"
            raise GeodlError(
                asked, "a Signal", "give a tensor [B, N, C], or build the layer without on="
            )
        assert self.on is not None
        return Signal(x, self.on)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Where parameters move, the layer's own domain moves along; its dtypes stay."""
        super()._apply(fn, recurse)
        if self.on is not None and self.on.tensors():
            self.on = self.on.to(fn(self.on.tensors()[0].new_zeros(0, dtype=torch.long)).device)
        return self

    @abstractmethod
    def forward(self, receiver: Any, sender: Any = None) -> Any:
        """The signal on the receivers' domain."""

    def unroll(
        self, signal: Signal, state: Any = None, sender: Signal | None = None
    ) -> tuple[Signal, Any]:
        """Continue on the next nodes of a chain: piece by piece the same as at once, a new node for
        one node's edges.

        Args:
            signal: `[B, N, C]` on a Chain, the nodes after those that `state` has seen.
            state: what the call before returned; None at the beginning. Layers of different kinds
                keep different things.
            sender: the second signal, of layers that cross; the same at each call.

        Returns:
            The signal on the new nodes, and the state for the next call.

        Raises:
            GeodlError: a layer that hears nodes to come, or that looks at all nodes at once.
        """
        if not self.nodewise:
            raise GeodlError(
                f"{self.label} unrolled",
                "a layer that hears nodes to come",
                "use past() or previous()",
            )
        return self(signal), None


class MessagePassing(Layer):
    """A layer with one verb and one neighborhood, computed by the lowering that fits the domain.

    Args:
        neighborhood: who hears whom.
        on: a domain; the layer then takes and returns plain tensors `[B, N, C]` on it.
        options: the record that lowerings may look at.

    Attributes:
        lowering: "auto", or the name of the lowering to use; one that refuses raises its reason at
            the next call.
    """

    verb: ClassVar[str]

    def __init__(self, neighborhood: Neighborhood, on: Domain | None, options: Any):
        super().__init__()
        self.neighborhood = ruled(type(self).__name__, neighborhood)
        self.on = on
        self.options = options
        self._lowering = "auto"

    @property
    def lowering(self) -> str:
        """ "auto" or the name of a lowering of this layer's verb."""
        return self._lowering

    @lowering.setter
    def lowering(self, name: str) -> None:
        names = [lowering.name for lowering in LOWERINGS[self.verb]]
        if name != "auto" and name not in names:
            raise GeodlError(
                f"lowering={name!r} for {type(self).__name__}", do=nearest(name, ["auto", *names])
            )
        self._lowering = name

    def forward(self, receiver: Any, sender: Any = None) -> Any:
        """Hear `sender` (by default `receiver` itself) and answer on the receivers' domain.

        Args:
            receiver: a Signal; a tensor `[B, N, C]` when the layer was built with `on=`.
            sender: another Signal, on another domain (cross-attention, decoders).
        """
        if self.on is None:
            return self._hear(receiver, sender)
        return self._hear(self._placed(receiver), sender).x

    def _hear(self, receiver: Any, sender: Any) -> Signal:
        source = checked(self, receiver) if sender is None else paired(self, receiver, sender)
        parts = fold(source.domain, None if sender is None else receiver.domain, source.x.layout)
        at, x = unfolded(receiver.x, parts.times), unfolded(source.x, parts.times)
        found = planned(
            self.verb,
            self._lowering,
            self.neighborhood,
            parts.source,
            parts.target,
            x,
            self.options,
        )
        y = self._run(found, at, x, parts)
        if sender is not None:
            domain = receiver.domain
        elif parts.source is not source.domain:
            domain = self._target_of(source.domain)
        else:
            domain = source.domain if found.target is None else found.target
        return Signal(
            y if parts.times == 1 else y.reshape(-1, domain.num_nodes, y.shape[2]), domain
        )

    def unroll(
        self, signal: Signal, state: Any = None, sender: Signal | None = None
    ) -> tuple[Signal, Any]:
        """Continue on the next nodes of a chain; the state are the values of the last nodes that
        the rule still hears.
        """
        if sender is not None:
            if self.neighborhood.causal or not self.neighborhood.complete:
                asked = f"{self.label} unrolled over a second signal"
                raise GeodlError(
                    asked,
                    f"{self.neighborhood}, which asks where a node stands",
                    "cross with all_pairs()",
                )
            return self(signal, sender), None
        back, signal = self.neighborhood.back, checked(self, signal)
        if back is None or not signal.domain.ordered or signal.domain.lattice is None:
            found = (
                "no one order to go on in"
                if signal.domain.lattice is None
                else "a rule that hears nodes to come"
            )
            raise GeodlError(
                f"{self.label} unrolled on {signal.domain}", found, "use a causal rule on a Chain"
            )
        if state is not None:
            resumed(self, (state,), signal.x, (signal.x.shape[0], None, signal.x.shape[2]))
        x = signal.x if state is None else torch.cat((state, signal.x), 1)
        seen = x.shape[1] - signal.domain.num_nodes
        y = self(Signal(x, signal.domain.like((x.shape[1],))))
        return Signal(y.x[:, seen:], signal.domain), x[:, max(0, x.shape[1] - back) :]

    def explain(self, sender: Domain | Signal, target: Domain | None = None) -> "Choice":
        """What would run for senders on a domain (or for a signal), and why each lowering before it
        refused.

        >>> from geodl import Chain, Conv, window
        >>> Conv(3, 8, window(5, axes=1)).explain(Chain(9)).lowering
        'lattice'
        """
        values = (
            sender.x
            if isinstance(sender, Signal)
            else next(iter(self.parameters()), torch.zeros(0))
        )
        source = sender.domain if isinstance(sender, Signal) else sender
        parts = fold(source, target, values.layout)
        ask = ask_for(self.neighborhood, parts.source, parts.target, values, self.options)
        lowering, refused = choose(LOWERINGS[self.verb], ask, self._lowering)
        end = self.neighborhood.target(source) if target is None else target
        return Choice(
            "", self.label, self.verb, str(self.neighborhood), source, end, lowering.name, refused
        )

    def over(self, neighborhood: Neighborhood) -> Self:
        """The same parameters (shared, not copied) on another neighborhood; where edge types carry
        weights, with as many.

        >>> from geodl import Attention, all_pairs, past
        >>> causal = Attention(16, all_pairs(), heads=2).over(past())
        """
        weights = getattr(self.options, "num_types", getattr(self.options, "bias_types", None))
        if (
            ruled(self.label, neighborhood).num_edge_types not in (weights, None)
            and weights is not None
        ):
            found = f"{neighborhood.num_edge_types} edge types in place of {weights}"
            raise GeodlError(
                f"{self.label} over {neighborhood}",
                found,
                "choose a neighborhood with as many types",
            )
        twin = copy.copy(self)
        vars(twin).update(
            {name: held.copy() for name, held in vars(self).items() if isinstance(held, dict)}
        )
        twin.neighborhood = neighborhood
        return twin

    @abstractmethod
    def _run(self, found: Planned, receiver: Tensor, sender: Tensor, parts: Folded) -> Tensor:
        """Hand the parameters to the lowering: receivers' and senders' values on `parts` in, `[B,
        M, C]` out.
        """

    def _target_of(self, domain: Domain) -> Domain:
        """The target of a folded union, found once."""
        assert domain.plans is not None
        key = ("target", self.neighborhood)
        if key not in domain.plans:
            keep(domain.plans, key, self.neighborhood.target(domain))
        return domain.plans[key]


class Choice(NamedTuple):
    """One layer's answer to `explain`; `refused` are (lowering, reason) of those tried before."""

    path: str
    layer: str
    verb: str
    neighborhood: str
    source: Domain
    target: Domain
    lowering: str
    refused: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        where = f"{self.source}" + ("" if self.target == self.source else f" -> {self.target}")
        head = (
            f"{self.path + ': ' if self.path else ''}{self.layer} "
            f"on {where} runs on {self.lowering}"
        )
        return "\n".join([head, *(f"    not on {name}: {reason}" for name, reason in self.refused)])


def checked(layer: Any, signal: Any, channels: int | None = None) -> Signal:
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


def paired(layer: Any, receiver: Any, sender: Any) -> Signal:
    """The sender's signal, once it is known that the receiver can hear it."""
    source = checked(layer, sender)
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


def resumed(layer: Any, state: Any, x: Tensor, *shapes: tuple[int | None, ...]) -> None:
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
        do = f"give what unroll returned, {named} like the signal's values"
        raise GeodlError(f"{_name(layer)} with a state", f"{found}", do)


def ruled(name: str, neighborhood: Any) -> Neighborhood:
    """A neighborhood, and nothing else."""
    if not isinstance(neighborhood, Neighborhood):
        raise GeodlError(
            f"{name} over {neighborhood!r}",
            f"a {type(neighborhood).__name__}",
            "give a rule, as window(3)",
        )
    return neighborhood


def alone(layer: Any, sender: Any) -> None:
    """Refuse a sender where a layer hears only its own signal."""
    if sender is not None:
        raise GeodlError(
            f"{_name(layer)} with a sender",
            "a second signal",
            "it hears its own domain: give one signal",
        )


def _name(layer: Any) -> str:
    return layer.label if isinstance(layer, Layer) else type(layer).__name__

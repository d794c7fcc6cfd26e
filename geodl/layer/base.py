"""What every layer is, and the one place where signals meet lowerings."""

import copy
import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError, nearest
from geodl.layer.check import check_pair, check_rule, check_signal, check_state
from geodl.layer.folding import MergedMembers, members_to_batch, merge_equal_members
from geodl.lowering import LOWERINGS, Plan, describe_call, plan_for, select
from geodl.neighborhood import Everyone, Neighborhood
from geodl.signal import Signal


class Layer(nn.Module, ABC):
    """A map from signals to signals. Only subclasses of Layer take Signals.

    Attributes:
        takes_sparse: whether it takes a signal with sparse values.
        nodewise: whether it treats each node alone.
        breaks_symmetry: whether it tells nodes apart by where they stand, which no symmetry
            survives.
        takes_context: whether it, or a layer in it, hears the second signal of a call wherever it
            stands.
        on: its own domain, on which it takes and returns tensors `[B, N, C]`; None for Signals.
    """

    takes_sparse: ClassVar[bool] = False
    nodewise: ClassVar[bool] = False
    breaks_symmetry: bool = False
    takes_context: bool = False
    on: Domain | None = None

    @property
    def label(self) -> str:
        """The layer in one line."""
        return f"{type(self).__name__}({self.extra_repr()})"

    def _as_signal(self, x: Any) -> Signal:
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

    def step(
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
    """A layer with one verb and one rule, computed by the lowering that fits the domain.

    Args:
        rule: who hears whom.
        on: a domain; the layer then takes and returns plain tensors `[B, N, C]` on it.
        options: the record that lowerings may look at.

    Attributes:
        lowering: "auto", or the name of the lowering to use; one that refuses raises its reason at
            the next call.
    """

    verb: ClassVar[str]

    def __init__(self, rule: Neighborhood, on: Domain | None, options: Any):
        super().__init__()
        self.rule = check_rule(type(self).__name__, rule)
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
            return self._propagate(receiver, sender)
        return self._propagate(self._as_signal(receiver), sender).x

    def _propagate(self, receiver: Any, sender: Any) -> Signal:
        source = (
            check_signal(self, receiver) if sender is None else check_pair(self, receiver, sender)
        )
        parts = merge_equal_members(
            source.domain, None if sender is None else receiver.domain, source.x.layout
        )
        at, x = (
            members_to_batch(receiver.x, parts.num_members),
            members_to_batch(source.x, parts.num_members),
        )
        plan = plan_for(
            self.verb,
            self._lowering,
            self.rule,
            parts.source,
            parts.target,
            x,
            self.options,
        )
        y = self._run(plan, at, x, parts)
        if sender is not None:
            domain = receiver.domain
        elif parts.source is not source.domain:
            domain = self._target_of(source.domain)
        else:
            domain = source.domain if plan.target is None else plan.target
        return Signal(
            y if parts.num_members == 1 else y.reshape(-1, domain.num_nodes, y.shape[2]), domain
        )

    def step(
        self, signal: Signal, state: Any = None, sender: Signal | None = None
    ) -> tuple[Signal, Any]:
        """Continue on the next nodes of a chain; the state are the values of the last nodes that
        the rule still hears.
        """
        if sender is not None:
            everyone = self._everyone(sender.domain, signal.domain)
            if everyone is None or everyone.causal:
                asked = f"a step of {self.label} over a second signal"
                found = f"{self.rule}, which asks where a node stands"
                raise GeodlError(asked, found, "cross with all_pairs()")
            return self(signal, sender), None
        domain = check_signal(self, signal).domain
        lookback = self.rule.lookback(domain) if domain.ordered else None
        if lookback is None or domain.lattice is None:
            found = "a rule that receives from nodes to come"
            if domain.lattice is None:
                found = "no one order to go on in"
            asked = f"a step of {self.label} on {domain}"
            raise GeodlError(asked, found, "use a causal rule on a Chain")
        if state is not None:
            check_state(self, (state,), signal.x, (signal.x.shape[0], None, signal.x.shape[2]))
        x = signal.x if state is None else torch.cat((state, signal.x), 1)
        known = Signal(x, domain.replace((x.shape[1],)))
        if lookback == math.inf:
            return self(signal, known), x
        seen = x.shape[1] - domain.num_nodes
        y = self(known).x[:, seen:]
        return Signal(y, domain), x[:, max(0, x.shape[1] - int(lookback)) :]

    def _everyone(self, source: Domain, target: Domain) -> Everyone | None:
        """The record that every receiver receives from every sender, where the rule has it."""
        records = self.rule.resolve(source, target).structures(source, target)
        return next((record for record in records if isinstance(record, Everyone)), None)

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
        parts = merge_equal_members(source, target, values.layout)
        call = describe_call(self.rule, parts.source, parts.target, values, self.options)
        lowering, refused = select(LOWERINGS[self.verb], call, self._lowering)
        end = self.rule.target(source) if target is None else target
        return Choice(
            "", self.label, self.verb, str(self.rule), source, end, lowering.name, refused
        )

    def over(self, rule: Neighborhood) -> Self:
        """The same parameters (shared, not copied) on another neighborhood; where edge types carry
        weights, with as many.

        >>> from geodl import Attention, all_pairs, past
        >>> causal = Attention(16, all_pairs(), heads=2).over(past())
        """
        types = self.options.edge_types
        check_rule(self.label, rule)
        if types is not None and rule.num_edge_types not in (types, None):
            found = f"{rule.num_edge_types} edge types in place of {types}"
            raise GeodlError(
                f"{self.label} over {rule}",
                found,
                "choose a neighborhood with as many types",
            )
        twin = copy.copy(self)
        vars(twin).update(
            {name: held.copy() for name, held in vars(self).items() if isinstance(held, dict)}
        )
        twin.rule = rule
        return twin

    @abstractmethod
    def _run(self, plan: Plan, receiver: Tensor, sender: Tensor, parts: MergedMembers) -> Tensor:
        """Hand the parameters to the lowering: receivers' and senders' values on `parts` in, `[B,
        M, C]` out.
        """

    def _target_of(self, domain: Domain) -> Domain:
        """The target of a folded union, found once."""
        assert domain.cache is not None
        key = ("target", self.rule)
        if key not in domain.cache:
            domain.cache[key] = self.rule.target(domain)
        return domain.cache[key]


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

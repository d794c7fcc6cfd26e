"""What every layer is, and the one place where signals meet lowerings."""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self, final

import torch
from torch import Tensor, nn

from geodl.domain import Domain, memo
from geodl.errors import GeodlError, nearest
from geodl.layer.check import (
    check_domain,
    check_other_rule,
    check_pair,
    check_place,
    check_rule,
    check_signal,
    check_state,
)
from geodl.layer.folding import (
    GraphState,
    MergedMembers,
    members_to_batch,
    merge_equal_members,
    state_of_call,
    target_elsewhere,
)
from geodl.layer.replaced import replaces_code
from geodl.layer.steps import check_crosses, check_goes_on
from geodl.layer.trace import Choice, Kernel, current_listener, traced_step
from geodl.lowering import LOWERINGS, Plan, Request, describe_call, plan_for, plan_for_step, select
from geodl.lowering.base import Options
from geodl.neighborhood import Everyone, Neighborhood
from geodl.signal import Signal


class Layer(nn.Module, ABC):
    """A map from signals to signals. Only subclasses of Layer take Signals.

    A subclass defines :meth:`compute`; `forward` is the same for all of them. Checkpoints
    (`torch.utils.checkpoint`) need `use_reentrant=False`: the other mode loses the gradient.

    Attributes:
        takes_sparse: whether it takes a signal with sparse values.
        nodewise: whether it treats each node alone.
        breaks_symmetry: whether it tells nodes apart by where they stand.
        takes_context: whether it, or a layer in it, receives from a container's second signal.
        transparent: whether its rule and the layers in it say all that it computes across nodes; a
            subclass that replaces any of the code loses it, unless it says so itself.
        rowwise: whether it reads rows of channels whichever nodes they belong to, and defines
            `on_rows(x)`, from dense `[B N, C]` to `[B N, C_out]`; lost as `transparent` is.
        strict_rows: whether torch refuses rows that do not fit its parameters.
        rule: which nodes each node receives from; None of a layer without a rule.
        on: its own domain, on which it also takes and returns tensors `[B, N, C]`, or None.

    Raises:
        GeodlError: a subclass with a `forward` of its own, when the class is made.
    """

    takes_sparse: ClassVar[bool] = False
    nodewise: bool = False
    breaks_symmetry: bool = False
    takes_context: bool = False
    transparent: ClassVar[bool] = False
    rowwise: bool = False
    strict_rows: ClassVar[bool] = False
    rule: Any = None
    on: Domain | None = None

    def __init_subclass__(cls, **named: Any):
        super().__init_subclass__(**named)
        # Said when the class is made, not at its first call; a mixin may bring a forward, too.
        if cls.forward is not Layer.forward:
            do = "define compute(self, receiver, sender, rule), which forward calls"
            raise GeodlError(f"class {cls.__name__}(Layer)", "a forward of its own", do)
        if replaces_code(cls):
            for promise in {"transparent", "rowwise"} - vars(cls).keys():
                setattr(cls, promise, False)

    @property
    def label(self) -> str:
        """The layer in one line."""
        return f"{type(self).__name__}({self.extra_repr()})"

    @final
    def forward(
        self, receiver: Any, sender: Any = None, *, rule: Neighborhood | None = None
    ) -> Any:
        """The answer on the receivers' domain.

        Args:
            receiver: a Signal; where the layer was built with `on=` one on that domain, or a
                tensor `[B, N, C]`, which a tensor answers.
            sender: another Signal to receive from, on another domain (cross-attention, decoders);
                by default the receiver itself.
            rule: for this call, in place of the layer's own; with as many edge types as the layer
                has weights.

        Raises:
            GeodlError: signals or a rule that the layer cannot take.
        """
        signal, used = receiver, self.rule
        if self.on is not None:
            signal = self._as_signal(receiver, sender)
        if rule is not None:
            used = check_other_rule(self, rule)
        listener = current_listener()
        if listener is None:
            answer = self.compute(signal, sender, used)
        else:
            answer = listener.record(
                self, (signal, sender), lambda: self.compute(signal, sender, used)
            )
        if self.on is None or signal is receiver:
            return answer
        return answer.x

    @abstractmethod
    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """What the layer computes: the hook behind :meth:`forward`.

        Args:
            receiver: the signal of the call, not yet checked.
            sender: the second signal, None where the call names none.
            rule: the rule of this call: the layer's own unless another was named; None of a layer
                without one.
        """

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
            GeodlError: a layer that receives from nodes to come, or that reads all nodes at once.
        """
        if not self.nodewise:
            raise GeodlError(
                f"a step of {self.label}",
                "a layer that reads all nodes at once",
                "use layers that read a node alone or nodes before it; batch norms in eval() mode",
            )
        return self(signal), None

    def _as_signal(self, x: Any, sender: Any) -> Signal:
        """A tensor as a signal on this layer's own domain; a signal whose senders are there."""
        assert self.on is not None
        if not isinstance(x, Signal):
            return Signal(x, self.on)
        # A container calls its layers with signals, whatever they were built for.
        check_place(self, x, sender)
        return x

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Where parameters move, the layer's own domain moves along, and a rule that owns its
        edges; their dtypes stay.
        """
        super()._apply(fn, recurse)
        if self.on is not None and self.on.tensors():
            self.on = self.on.to(fn(self.on.tensors()[0].new_zeros(0, dtype=torch.long)).device)
        if self.rule is not None and self.rule.owner is not None:
            index = self.rule.owner.edge_index
            self.rule = self.rule.to(fn(index.new_zeros(0)).device)
        return self


class MessagePassing(Layer):
    """A layer with one verb and one rule, computed by the lowering that fits the domain.

    Args:
        rule: which nodes each node receives from.
        on: a domain; the layer then takes and returns plain tensors `[B, N, C]` on it.
        options: the record that lowerings may look at.

    Attributes:
        lowering: "auto", or the name of the lowering to use; one that refuses raises its reason at
            the next call.
    """

    verb: ClassVar[str]
    rule: Neighborhood

    def __init__(self, rule: Neighborhood, on: Domain | None, options: Options):
        super().__init__()
        self.rule = check_rule(type(self).__name__, rule)
        self.on = on
        self.options: Any = options
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

    def compute(self, receiver: Signal, sender: Signal | None, rule: Neighborhood) -> Signal:
        """The kernel's answer on the receivers' domain: the rule's target, or that of `receiver`
        where a sender is given.

        The state of edges and of graphs is the receiver's, and stays with the answer.
        """
        return self._received(receiver, sender, rule, keep=True)

    def _received(
        self, receiver: Signal, sender: Signal | None, rule: Neighborhood, *, keep: bool
    ) -> Signal:
        """What :meth:`compute` answers, with a plan that is kept or made for this call."""
        if sender is None:
            source, given = check_signal(self, receiver), None
        else:
            source, given = check_pair(self, receiver, sender), receiver.domain
        plan, parts = self._plan(rule, source.domain, given, source.x, keep=keep)
        x, at = source.x, receiver.x
        if parts.num_members > 1:
            x = at = members_to_batch(x, parts.num_members)
            # Of one signal the same tensor twice, not two views: attention projects it once.
            if sender is not None:
                at = members_to_batch(receiver.x, parts.num_members)
        y = self._run(plan, at, x, parts, state_of_call(receiver, parts))
        domain = given
        if domain is None:
            domain = self._made_domain(plan, parts, source.domain, rule)
        if parts.num_members > 1:
            y = y.reshape(-1, domain.num_nodes, y.shape[2])
        return receiver.carry_state(y, domain)

    @traced_step
    def step(
        self, signal: Signal, state: Any = None, sender: Signal | None = None
    ) -> tuple[Signal, Any]:
        """Continue on the next nodes of a chain; the state are the values that are read again."""
        if sender is not None:
            check_crosses(self, self._everyone(sender.domain, signal.domain))
            return self(signal, sender), None
        domain = check_signal(self, signal).domain
        lookback = check_goes_on(self, domain)
        if state is not None:
            check_state(self, (state,), signal.x, (signal.x.shape[0], None, signal.x.shape[2]))
        x = signal.x if state is None else torch.cat((state, signal.x), 1)
        known = signal.carry_state(x, domain.replace((x.shape[1],)))
        if lookback == math.inf:
            # The plan of a longer chain each time would never be found again.
            return self._received(signal, known, self.rule, keep=False), x
        seen = x.shape[1] - domain.num_nodes
        y = self(known).x[:, seen:]
        return signal.with_x(y), x[:, max(0, x.shape[1] - int(lookback)) :]

    def _everyone(self, source: Domain, target: Domain) -> Everyone | None:
        """The record that every receiver receives from every sender, where the rule has it."""
        records = self.rule.resolve(source, target).structures(source, target)
        return next((record for record in records if isinstance(record, Everyone)), None)

    def explain(self, sender: Domain | Signal, target: Domain | Signal | None = None) -> Choice:
        """What would run for senders on a domain (or for a signal), and why each lowering before it
        refused; refused itself where the call would be.

        Args:
            sender: the senders' domain, or their signal.
            target: the receivers' domain, or their signal; by default where the rule puts them.

        Raises:
            GeodlError: what the call with such signals would raise of rule and domains.

        >>> from geodl import Chain, Conv, window
        >>> Conv(3, 8, window(5, axes=1)).explain(Chain(9)).lowering
        'lattice'
        """
        asked = f"{self.label} explained"
        given = target.domain if isinstance(target, Signal) else target
        if given is not None:
            check_domain(asked, given)
        if isinstance(sender, Signal):
            source, x = sender.domain, check_signal(self, sender).x
        else:
            source, x = check_domain(asked, sender), next(self.parameters(), torch.zeros(0))
        # The plan is made as the call makes it: what cannot be planned is refused here as there.
        plan, parts = self._plan(self.rule, source, given, x)
        kernel = self._kernel(self.rule, source, plan, parts, x)
        end = self.rule.target(source) if given is None else given
        return Choice(
            path="",
            layer=self.label,
            verb=self.verb,
            neighborhood=str(self.rule),
            source=source,
            target=end,
            lowering=kernel.lowering,
            refused=kernel.refused,
            note=kernel.note,
        )

    def over(self, rule: Neighborhood) -> Self:
        """The same parameters (shared, not copied) on another neighborhood; where edge types carry
        weights, with as many.

        >>> from geodl import Attention, all_pairs, past
        >>> causal = Attention(16, all_pairs(), heads=2).over(past())
        """
        twin = self._twin()
        twin.rule = check_other_rule(self, rule)
        return twin

    @abstractmethod
    def _run(
        self,
        plan: Plan,
        receiver: Tensor,
        sender: Tensor,
        parts: MergedMembers,
        state: GraphState,
    ) -> Tensor:
        """Hand values, parameters and the state of edges and graphs to the plan: `[B, M, C]`."""

    def _plan(
        self,
        rule: Neighborhood,
        source: Domain,
        target: Domain | None,
        x: Tensor,
        *,
        merge: bool = True,
        keep: bool = True,
    ) -> tuple[Plan, MergedMembers]:
        """The lowering and plan of a call, and the domains it runs on: the one way to a kernel.

        Args:
            rule: of this call.
            source: the senders' domain.
            target: the receivers' domain where it is given; else the rule decides.
            x: the senders' values: their dtype, device and layout count.
            merge: whether equal members of a union may become batch entries.
            keep: whether the plan is kept for the next call.
        """
        if merge and rule.by_member:
            parts = merge_equal_members(source, target, rule, x.layout)
        else:
            parts = MergedMembers(source, target, 1, rule)
        options = self._options_on(parts.source)
        asked = Request(self.verb, self._lowering, rule, parts.source, parts.target, x, options)
        plan = plan_for(asked) if keep else plan_for_step(asked)
        listener = current_listener()
        if listener is not None:
            listener.reached(self, self._kernel(rule, source, plan, parts, x))
        return plan, parts

    def _kernel(
        self, rule: Neighborhood, source: Domain, plan: Plan, parts: MergedMembers, x: Tensor
    ) -> Kernel:
        """The lowering that a plan belongs to, and why those before it refused."""
        # Asked a second time, because a plan that was kept does not know who refused before it.
        call = describe_call(rule, parts.source, parts.target, x, self._options_on(parts.source))
        _, refused = select(LOWERINGS[self.verb], call, self._lowering)
        return Kernel(rule, source, plan.lowering.name, plan.note, refused, call)

    def _options_on(self, source: Domain) -> Any:
        """What lowerings look at; made at each call where the domain decides the weights."""
        return self.options

    def _made_domain(
        self, plan: Plan, parts: MergedMembers, source: Domain, rule: Neighborhood
    ) -> Domain:
        """The receivers' domain where none was given."""
        if parts.source is source:
            return source if plan.target is None else plan.target
        # The plan knows one member only: the union of its targets is found once and kept.
        return memo(source, ("target", rule), lambda: target_elsewhere(source, rule)) or source

    def _twin(self) -> Self:
        """This layer once more, with the very same parameters.

        Made by hand: torch refuses to copy modules whose parameters are parametrized.
        """
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self))
        # What `layer.compile()` made is bound to this layer, and would run its rule.
        vars(twin).pop("_compiled_call_impl", None)
        for name, held in vars(self).items():
            # Parameters are shared; the tables that hold them, and hooks, are each layer's own.
            if isinstance(held, dict):
                vars(twin)[name] = held.copy()
        return twin

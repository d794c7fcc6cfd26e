"""One score of a model's answer, as a function of node values and of weights of links."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from geodl.errors import GeodlError, as_integer
from geodl.layer import Event, evaluated, trace
from geodl.signal import Signal


class Attribution(NamedTuple):
    """How much each input contributes to one score of an answer.

    Attributes:
        nodes: `[N, C]`, each value of each node; `[N, 1]` where a method has one number a node.
        edges: `[E]`, each link, in the order of `domain.links()`; None where the answer reads no
            weights of links: attention and pooling read which links there are (see
            `attention_on_edges`), and only a `Graph` takes weights at run time.
    """

    nodes: Tensor
    edges: Tensor | None


class NodeScore:
    """One score of a model's answer `[1, M, K]`, `y_ic` at node i and channel c, as a function of
    the values of nodes and of the weights of links.

    Made, and asked, in a block of :func:`with_gradients`.

    Args:
        asked: the call in words, the beginning of every error.
        model: takes a signal and answers with one.
        signal: one signal, `x` of shape `[1, N, C]` or sparse `[N, C]`.
        node: i, the number of a node of the answer; 0 where a whole graph has one answer.
        channel: c; None for the largest score.

    Attributes:
        x: `[1, N, C]`, the values, dense.
        weight: `[E]`, the weights of the links, 1 where they have none; None where the domain or a
            layer of the model takes no weights at run time.
    """

    def __init__(
        self, asked: str, model: nn.Module, signal: Any, node: int, channel: int | None = None
    ):
        self.asked, self.model = asked, model
        self.signal = check_signal(asked, signal)
        self.x = self.signal.x
        with trace(model) as events:
            answer = self._answer(self.x, None)
        self.weight = None
        if _takes_weights(self.signal.domain, events):
            self.weight = _weights_of(self.signal)
        count, channels = answer.shape
        self.node = _number(asked, "node", node, count)
        if answer[self.node].isnan().any():
            # No class is the largest, and every derivative is NaN.
            do = "clean the signal's values, and look at the model's weights"
            raise GeodlError(f"{asked} at node {self.node}", "scores that are NaN", do)
        if channel is None:
            channel = int(answer[self.node].argmax())
        self.channel = _number(asked, "channel", channel, channels)

    def scores(self, x: Tensor, weight: Tensor | None) -> Tensor:
        """`[K]`, the scores of the node at other values and weights."""
        return self._answer(x, weight)[self.node]

    def score(self, x: Tensor, weight: Tensor | None) -> Tensor:
        """The one score, at other values and weights."""
        return self.scores(x, weight)[self.channel]

    def gradients(self, x: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The derivatives of the score, `[N, C]` and `[E]`; the latter None where the score does
        not read the weights.

        Raises:
            GeodlError: if the score has no derivative at all.
        """
        x = x.detach().requires_grad_()
        inputs = [x]
        if weight is not None:
            weight = weight.detach().requires_grad_()
            inputs.append(weight)
        score = self.score(x, weight)
        check_has_gradient(self.asked, score)
        of_x, *rest = torch.autograd.grad(score, inputs, allow_unused=True)
        if of_x is None:
            of_x = torch.zeros_like(x)
        of_weight = None
        if rest:
            of_weight = rest[0]
        return of_x[0], of_weight

    def _answer(self, x: Tensor, weight: Tensor | None) -> Tensor:
        """The model's answer `[M, K]`."""
        domain: Any = self.signal.domain
        if weight is not None:
            domain = domain.with_weights(weight)
        return check_answer(
            self.asked, self.model(Signal(x, domain, self.signal.edges, self.signal.globals))
        )


@contextmanager
def with_gradients(model: Any) -> Iterator[None]:
    """A block in which a model is in evaluation mode and gradients are recorded, whatever the
    caller's mode; those of its parameters are left alone.
    """
    with evaluated(model), torch.inference_mode(False), torch.enable_grad():
        yield


def check_signal(asked: str, signal: Any) -> Signal:
    """One signal of real numbers, dense, without a gradient of its own."""
    do = "give one signal [1, N, C] of floating point numbers"
    if not isinstance(signal, Signal):
        raise GeodlError(asked, f"a {type(signal).__name__}", do)
    x = signal.x.detach()
    if x.layout != torch.strided:
        # A gradient says something of every value, of the zeros too.
        x = x.to_dense()[None]
    if x.shape[0] != 1 or not x.is_floating_point():
        raise GeodlError(asked, f"values {list(x.shape)} of {x.dtype}", do)
    return signal.with_x(x.clone())


def check_answer(asked: str, answer: Any) -> Tensor:
    """The values `[M, K]` of an answer that is one signal."""
    do = "give a model that answers a signal with one signal [1, M, K]"
    if not isinstance(answer, Signal):
        raise GeodlError(asked, f"an answer that is a {type(answer).__name__}", do)
    if answer.x.dim() != 3 or answer.x.shape[0] != 1:
        raise GeodlError(asked, f"an answer {list(answer.x.shape)}", do)
    return answer.x[0]


def check_has_gradient(asked: str, score: Tensor) -> None:
    """Refuse a score that no derivative leads back from."""
    if not score.requires_grad:
        found = "an answer without a derivative"
        raise GeodlError(asked, found, "give a model that neither detaches nor rounds its values")


def _takes_weights(domain: Any, events: list[Event]) -> bool:
    """Whether a model runs on the links of a domain with other weights."""
    if not hasattr(domain, "with_weights"):
        return False
    for event in events:
        layer: Any = event.layer
        # They weigh their neighbors themselves, and refuse a rule that would weigh them, too.
        weighs = getattr(layer, "verb", None) in ("attend", "pool")
        if weighs and event.rule is not None and event.rule.reads_weights:
            return False
    return True


def _weights_of(signal: Signal) -> Tensor | None:
    """`[E]` the weights of the links, 1 where they have none; None where there are no links."""
    links = signal.domain.links()
    if not len(links.dst):
        return None
    if links.weight is None:
        return signal.x.new_ones(len(links.dst))
    weight = links.weight.detach().to(signal.x)
    if weight.dim() == 2:
        found = f"{len(weight)} rows of weights"
        do = "choose one: with_weights(weight[0])"
        raise GeodlError(f"the links of {signal.domain}", found, do)
    return weight


def _number(asked: str, name: str, value: Any, count: int) -> int:
    """A number from 0 to count - 1."""
    number = as_integer(value)
    if number is None or not 0 <= number < count:
        found = f"{name}={value!r} of an answer with {count}"
        raise GeodlError(asked, found, f"give a number from 0 to {count - 1}")
    return number

"""What graph networks are put together of: layers in a row, shares of two signals."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from geodl.errors import GeodlError, is_real, positive
from geodl.layer import Conv, Dropout, Layer, Sequential
from geodl.layer.check import check_signal
from geodl.layer.joins import check_alike
from geodl.neighborhood import Neighborhood
from geodl.signal import Signal

Make = Callable[[int, int, bool], list[nn.Module]]


def stack(
    asked: str,
    channels: tuple[int, ...],
    make: Make,
    *,
    dropout: float = 0.0,
    activation: Callable[[], nn.Module] | None = nn.ReLU,
) -> Sequential:
    """A layer for each pair of successive channels, each but the first after an activation.

    Args:
        asked: the network's name, for errors.
        channels: of the input, of each hidden layer, of the output.
        make: `make(before, after, last)`, the parts of one layer; `last` says whether it is the
            last one.
        dropout: probability of dropout before every layer; of 0 there is none.
        activation: makes the module between two layers; None where the layers have their own.

    Raises:
        GeodlError: if there are fewer than two numbers of channels, or if one is no positive
            integer.
    """
    asked = f"{asked}({', '.join(map(repr, channels))})"
    if len(channels) < 2:
        found = f"{len(channels)} numbers of channels"
        raise GeodlError(asked, found, "give those of the input and of the output at least")
    sizes = [positive(asked, size) for size in channels]
    layers: list[nn.Module] = []
    count = len(sizes) - 1
    for k, (before, after) in enumerate(pairwise(sizes), 1):
        if layers and activation is not None:
            layers.append(activation())
        if dropout:
            layers.append(Dropout(dropout))
        layers += make(before, after, k == count)
    return Sequential(*layers)


def convolutions(
    asked: str, rule: Neighborhood, channels: tuple[int, ...], dropout: float
) -> Sequential:
    """A convolution over one rule for each pair of successive channels, with ReLU between them."""

    def make(before: int, after: int, last: bool) -> list[nn.Module]:
        return [Conv(before, after, rule)]

    return stack(asked, channels, make, dropout=dropout)


class Mix(Layer):
    """`y = (1 - share) receiver + share sender`, of two signals on one domain.

    The teleport of APPNP, and the two shortcuts of GCNII. The state is the receiver's.

    Args:
        share: of the sender, from 0 to 1.

    Raises:
        GeodlError: if the share is no number from 0 to 1; at the call, if there is one signal
            alone, or if two differ in domain or shape.

    >>> from geodl.domain import Complete
    >>> one, two = (Signal(torch.full((1, 2, 1), k), Complete(2)) for k in (1.0, 2.0))
    >>> Mix(0.25)(one, two).x.flatten().tolist()
    [1.25, 1.25]
    """

    transparent = True

    def __init__(self, share: float):
        super().__init__()
        self.share = check_share("Mix", "share", share)

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The weighted mean of both."""
        if sender is None:
            raise GeodlError(f"{self.label} called", "one signal", "give a receiver and a sender")
        check_signal(self, receiver)
        check_alike("mix", receiver, check_signal(self, sender))
        # Under autocast the two may come out of kernels of different precision.
        wide = torch.promote_types(receiver.dtype, sender.dtype)
        mixed = torch.lerp(receiver.x.to(wide), sender.x.to(wide), self.share)
        return receiver.with_x(mixed)

    def step(
        self, signal: Signal, state: Any = None, sender: Signal | None = None
    ) -> tuple[Signal, Any]:
        """The weighted mean on the next nodes, of which both signals are."""
        return self(signal, sender), None

    def extra_repr(self) -> str:
        return f"share={self.share:g}"


class Shifted(nn.Module):
    """`x + bias`: what a linear layer adds, where its weights came before other layers.

    Args:
        channels: C.
        fan_in: of the linear layer, which draws the bias.
    """

    def __init__(self, channels: int, fan_in: int):
        super().__init__()
        self.fan_in = fan_in
        self.bias = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the bias as that of `nn.Linear`."""
        nn.init.uniform_(self.bias, -(self.fan_in**-0.5), self.fan_in**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """The shifted values."""
        return x + self.bias


def check_share(asked: str, name: str, share: Any) -> float:
    """A number from 0 to 1.

    Raises:
        GeodlError: if it is anything else.
    """
    if not (is_real(share) and 0 <= share <= 1):
        raise GeodlError(f"{asked}({name}={share!r})", do="give a number from 0 to 1")
    return float(share)


def draw_as_linear(layer: Conv) -> Conv:
    """A convolution with its parameters drawn as those of an `nn.Linear` of its channels.

    PyG's GraphSAGE draws so what our layer, whose number of senders depends on the graph, would
    draw by Glorot's rule.
    """
    bound = layer.channels_in**-0.5
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -bound, bound)
    return layer


def draw_by_glorot(weight: Tensor) -> None:
    """Draw a weight by the channels of its last two axes (Glorot and Bengio, 2010), as PyG does."""
    bound = (6 / (weight.shape[-2] + weight.shape[-1])) ** 0.5
    nn.init.uniform_(weight, -bound, bound)


def read_edges(asked: str, e_ij: Tensor | None, channels: int) -> Tensor:
    """The state of edges that a message reads.

    Args:
        asked: who reads it, for the error.
        e_ij: what a :class:`Message` hands over.
        channels: C_e that it has to have.

    Raises:
        GeodlError: if there is none, or if it has other channels.
    """
    do = f"give Signal(x, domain, edges=...), a row of {channels} channels for each link"
    if e_ij is None:
        raise GeodlError(asked, "a signal without a state of edges", do)
    if e_ij.shape[-1] != channels:
        raise GeodlError(asked, f"edges of {e_ij.shape[-1]} channels", do)
    return e_ij


def reading(layer: Any, channels: int) -> Any:
    """A layer of messages that refuses values of other channels, in the words of every layer."""
    layer.channels_in = positive(f"{type(layer).__name__} of {channels!r} channels", channels)
    return layer


class Times(nn.Module):
    """`factor x`, a number that is not trained and has no dtype.

    Args:
        factor: the number.
    """

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """The multiple."""
        return self.factor * x

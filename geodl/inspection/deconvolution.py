"""Back from a number inside a network to the input that made it: feature maps and deconvolution."""

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from geodl.errors import GeodlError, as_integer, nearest
from geodl.inspection.score import check_has_gradient, check_signal, with_gradients
from geodl.layer import Event, Pointwise, evaluated, trace
from geodl.signal import Signal


class Reconstruction(NamedTuple):
    """What of the input made one number inside a network.

    Attributes:
        values: `[N, C]`, in the input's shape.
        node: of the layer's answer, the node of the number.
        activation: the number.
    """

    values: Tensor
    node: int
    activation: float


def feature_maps(model: nn.Module, signal: Signal, path: str) -> Signal:
    """What a layer inside a model answers.

    Args:
        model: takes a signal.
        signal: its input.
        path: the name of the layer or pointwise module, as `model.named_modules()` and `g.trace`
            have it; of one that runs several times the last answer.

    Raises:
        GeodlError: if nothing of that name ran.

    >>> import geodl as g
    >>> image = g.Signal.image(torch.zeros(1, 1, 28, 28))
    >>> feature_maps(g.models.lenet5(), image, "pool1").domain
    Grid(14, 14)
    """
    with evaluated(model), torch.no_grad(), trace(model) as events:
        model(signal)
    return _event("feature_maps(model, signal, path)", events, path).output


def deconvolution(
    model: nn.Module, signal: Signal, path: str, channel: int, node: int | None = None
) -> Reconstruction:
    """The pattern in the input that made one number of a layer, all other numbers of the layer set
    to zero: the "deconvnet" of ZFNet, for any model.

    The number goes back through the layers. A convolution passes on what it has along the same
    edges, reversed, with the same weights: `x_j = sum over edges (j -> i) of type t of y_i W_t'`.
    Maximum pooling gives it to the sender that was largest. ReLU keeps what is positive of what
    comes back, whatever its input was: in this alone it differs from the gradient (Springenberg et
    al., "Striving for Simplicity", 2015, section 3.4); all other layers pass the gradient on.

    Args:
        model: takes one signal; its ReLUs are `nn.ReLU`.
        signal: one signal, `x` of shape `[1, N, C]`.
        path: the name of the layer.
        channel: of the layer's answer.
        node: of the layer's answer; None for the one where the channel is largest.

    Raises:
        GeodlError: if nothing of that name ran, if its answer has no such channel or node, or no
            derivative.

    Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (2014),
    section 2.1.

    >>> import geodl as g
    >>> net = g.Sequential(g.Conv(1, 2, g.window(3)), nn.ReLU())
    >>> image = g.Signal.image(torch.rand(1, 1, 9, 9))
    >>> found = deconvolution(net, image, "0", channel=1, node=40)
    >>> int(found.values.count_nonzero())  # the 3 x 3 pixels around the centre
    9
    """
    asked = "deconvolution(model, signal, path, channel)"
    given = check_signal(asked, signal)
    twin = _rectifying(model)
    with with_gradients(twin):
        x = given.x.requires_grad_()
        with trace(twin) as events:
            twin(given.with_x(x))
        answer = _event(asked, events, path).output.x[0]
        column = answer[:, _number(asked, "channel", channel, answer.shape[1])]
        place = int(column.argmax())
        if node is not None:
            place = _number(asked, "node", node, len(column))
        check_has_gradient(asked, column)
        (slope,) = torch.autograd.grad(column[place], x, allow_unused=True)
    if slope is None:
        slope = torch.zeros_like(x)
    activation = column[place].detach()
    return Reconstruction(slope[0] * activation, place, float(activation))


class _Rectified(torch.autograd.Function):
    """ReLU on the way there, and ReLU on the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """The positive part."""
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The positive part of what comes back."""
        return grad_outputs[0].clamp(min=0)


class _Rectifier(nn.Module):
    """`nn.ReLU`, rectifying both ways."""

    def forward(self, x: Tensor) -> Tensor:
        """The positive part."""
        return _Rectified.apply(x)


def _rectifying(model: nn.Module) -> nn.Module:
    """A model on the same parameters whose ReLUs rectify what comes back, too."""
    if type(model) is nn.ReLU:
        return Pointwise(_Rectifier())
    shared = [*model.parameters(), *model.buffers()]
    twin = copy.deepcopy(model, {id(tensor): tensor for tensor in shared})
    for module in list(twin.modules()):
        for name, part in module._modules.items():
            if type(part) is nn.ReLU:
                module._modules[name] = Pointwise(_Rectifier())
    return twin


def _event(asked: str, events: list[Event], path: str) -> Event:
    """The last call of a layer, by its name."""
    found = [event for event in events if event.path == path]
    if not found:
        known = [event.path for event in events]
        raise GeodlError(f"{asked} with path={path!r}", do=nearest(str(path), known))
    return found[-1]


def _number(asked: str, name: str, value: Any, count: int) -> int:
    """A number from 0 to count - 1."""
    number = as_integer(value)
    if number is None or not 0 <= number < count:
        found = f"{name}={value!r} of a layer with {count}"
        raise GeodlError(asked, found, f"give a number from 0 to {count - 1}")
    return number

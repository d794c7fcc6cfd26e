"""LeNet-5, the first convolutional network in wide use."""

from typing import Literal

from torch import nn

from geodl.errors import GeodlError, nearest
from geodl.layer import Conv, Expected, Pool, Sequential
from geodl.models.image_heads import scores
from geodl.neighborhood import window

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


def lenet5(
    classes: int = 10,
    *,
    in_channels: int = 1,
    activation: Literal["relu", "tanh", "sigmoid"] = "relu",
    pool: Literal["max", "mean"] = "max",
) -> Sequential:
    """LeNet-5 for 28 x 28 images, in its usual modern form: `[B, 784, 1]` to logits
    `[B, 1, classes]`. 61,706 parameters.

    Two 5x5 convolutions, each before 2x2 pooling, and three fully connected layers, of which the
    first is a window as large as its 5x5 maps. In the paper maps of the second layer read some of
    the first's only, pooling is a mean with a weight, units are tanh, and the last layer measures
    distances.

    Args:
        classes: channels of the single node at the end.
        in_channels: channels of the images.
        activation: behind each layer but the last.
        pool: "max" or "mean".

    Raises:
        GeodlError: if there is no such activation or pooling; at the call, images of another size.

    Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document
    recognition", 1998.

    >>> import torch, geodl as g
    >>> lenet5()(g.Signal.image(torch.zeros(2, 1, 28, 28))).x.shape
    torch.Size([2, 1, 10])
    """
    if activation not in tuple(ACTIVATIONS):
        asked = f"lenet5(activation={activation!r})"
        raise GeodlError(asked, do=nearest(str(activation), ACTIVATIONS))
    act = ACTIVATIONS[activation]
    halves = window(2, stride=2)
    return Sequential(
        {
            "input": Expected(28, 28),
            "conv1": Conv(in_channels, 6, window(5)),
            "act1": act(),
            "pool1": Pool(halves, pool),
            "conv2": Conv(6, 16, window(5, padding="valid")),
            "act2": act(),
            "pool2": Pool(halves, pool),
            "fc1": Conv(16, 120, window(5, padding="valid")),
            "act3": act(),
            "fc2": nn.Linear(120, 84),
            "act4": act(),
            "fc3": scores(84, classes),
        }
    )

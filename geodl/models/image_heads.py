"""How networks on images end: fully connected layers, or the mean over all pixels."""

from itertools import pairwise
from typing import Literal

from torch import nn

from geodl.errors import GeodlError, nearest, positive
from geodl.layer import Conv, Dropout, Expected, Readout, Sequential
from geodl.neighborhood import window

Head = Literal["connected", "mean"]
HEADS = ("connected", "mean")
INSTEAD = "build the network with head='mean', which takes any size"


def image_head(
    asked: str,
    head: Head,
    channels: int,
    side: int,
    widths: tuple[int, ...],
    *,
    dropout: float = 0.0,
    dropout_first: bool = False,
) -> Sequential:
    """What makes the answer, on one node, of the last feature maps.

    "connected" is a fully connected layer, which is a window as large as the maps, and linear
    layers behind it, with ReLU between them. "mean" is the mean over all pixels and one linear
    layer, for images of any size (Lin, Chen, Yan, "Network In Network", 2014, section 3.2).

    Args:
        asked: the network's name, for errors.
        head: which of the two.
        channels: of the feature maps.
        side: height and width of the feature maps.
        widths: channels that each fully connected layer makes, the last one the classes.
        dropout: probability of dropout at the fully connected layers but the last.
        dropout_first: whether it comes before such a layer, as in AlexNet, or behind its ReLU, as
            in VGG.

    Raises:
        GeodlError: if there is no such head; if the number of classes is not a positive integer.
    """
    if head not in HEADS:
        raise GeodlError(f"{asked}(head={head!r})", do=nearest(str(head), HEADS))
    if head == "mean":
        return Sequential(Readout("mean"), scores(channels, widths[-1]))
    *inner, classes = widths
    made: list[nn.Module] = [Conv(channels, inner[0], window(side, padding="valid"))]
    for before, after in pairwise(inner):
        made.append(nn.Linear(before, after))
    layers: list[nn.Module] = []
    for layer in made:
        if dropout_first:
            layers += [Dropout(dropout), layer, nn.ReLU()]
        else:
            layers += [layer, nn.ReLU(), Dropout(dropout)]
    return Sequential(*layers, scores(inner[-1], classes))


def scores(channels: int, classes: int) -> nn.Linear:
    """The linear layer that a network ends with: a score for each class.

    Raises:
        GeodlError: if the number of classes is not a positive integer.
    """
    return nn.Linear(channels, positive(f"a network of {classes!r} classes", classes))


def with_input(
    head: Head, side: int, features: list[nn.Module], classifier: Sequential
) -> Sequential:
    """A network whose parts have torchvision's names, behind a check of the images' size where
    fully connected layers need one.

    Args:
        head: of the network.
        side: height and width of its images.
        features: up to the last feature maps.
        classifier: behind them.
    """
    parts = {"features": Sequential(*features), "classifier": classifier}
    if head == "mean":
        return Sequential(parts)
    return Sequential({"input": Expected(side, side, instead=INSTEAD)} | parts)

"""AlexNet, and ZFNet, which looked inside it: five convolutions, three connected layers."""

from torch import nn

from geodl.errors import GeodlError
from geodl.layer import Conv, LocalResponseNorm, Pool, Sequential
from geodl.models.image_heads import Head, image_head, with_input
from geodl.neighborhood import Window, window

OVERLAPPING = window(3, stride=2, padding="valid")  # pools of 3x3 at every second pixel


def alexnet(
    classes: int = 1000,
    *,
    in_channels: int = 3,
    towers: int = 1,
    head: Head = "connected",
    dropout: float = 0.5,
) -> Sequential:
    """AlexNet for 224 x 224 images: `[B, 50176, 3]` to logits `[B, 1, classes]`.

    With one tower it is the form of torchvision, 61,100,840 parameters, whose state_dict has these
    names. With two it is that of 2012, 60,965,224 parameters: two halves of the channels that meet
    in the third convolution, and local response norms behind the first two.

    Args:
        classes: channels of the single node at the end.
        in_channels: channels of the images.
        towers: 1 or 2.
        head: "connected", or "mean" for the mean over all pixels and one linear layer.
        dropout: probability of dropout before the first two fully connected layers.

    Raises:
        GeodlError: if there are other than one or two towers, or no such head; at the call, images
            of another size.

    Sources: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", 2012; of one tower Krizhevsky, "One weird trick for parallelizing convolutional
    neural networks", 2014.

    >>> import torch
    >>> with torch.device("meta"):  # counted without memory
    ...     sum(p.numel() for p in alexnet().parameters())
    61100840
    """
    if towers not in (1, 2):
        raise GeodlError(f"alexnet(towers={towers!r})", do="give 1 or 2")
    widths = (64, 192, 384, 256, 256)
    if towers == 2:
        widths = (96, 256, 384, 384, 256)
    first, second, third, fourth, fifth = widths
    parts: list[nn.Module] = [Conv(in_channels, first, window(11, stride=4, padding=2)), nn.ReLU()]
    parts += _response_norm(towers)
    parts += [Pool(OVERLAPPING), Conv(first, second, window(5), groups=towers), nn.ReLU()]
    parts += _response_norm(towers)
    parts += [Pool(OVERLAPPING), Conv(second, third, window(3)), nn.ReLU()]
    parts += [Conv(third, fourth, window(3), groups=towers), nn.ReLU()]
    parts += [Conv(fourth, fifth, window(3), groups=towers), nn.ReLU(), Pool(OVERLAPPING)]
    connected = (4096, 4096, classes)
    end = image_head("alexnet", head, fifth, 6, connected, dropout=dropout, dropout_first=True)
    return with_input(head, 224, parts, end)


def zfnet(
    classes: int = 1000, *, in_channels: int = 3, head: Head = "connected", dropout: float = 0.5
) -> Sequential:
    """ZFNet for 224 x 224 images: `[B, 50176, 3]` to logits `[B, 1, classes]`. 62,357,608
    parameters.

    AlexNet in one tower with a first window of 7x7 at every second pixel in place of 11x11 at every
    fourth, which its authors found by looking at what the first layers had learnt:
    :func:`geodl.inspection.deconvolution` draws such pictures.

    Args:
        classes: channels of the single node at the end.
        in_channels: channels of the images.
        head: "connected", or "mean" for the mean over all pixels and one linear layer.
        dropout: probability of dropout before the first two fully connected layers.

    Raises:
        GeodlError: if there is no such head; at the call, images of another size.

    Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014, figure
    3.

    >>> import torch
    >>> with torch.device("meta"):
    ...     sum(p.numel() for p in zfnet().parameters())
    62357608
    """
    padded = window(3, stride=2, padding=1)
    features = [
        *(Conv(in_channels, 96, window(7, stride=2, padding=1)), nn.ReLU()),
        *(Pool(padded), *_response_norm(2)),
        *(Conv(96, 256, window(5, stride=2, padding="valid")), nn.ReLU()),
        *(Pool(padded), *_response_norm(2)),
        *(Conv(256, 384, window(3)), nn.ReLU()),
        *(Conv(384, 384, window(3)), nn.ReLU()),
        *(Conv(384, 256, window(3)), nn.ReLU()),
        Pool(OVERLAPPING),
    ]
    connected = (4096, 4096, classes)
    end = image_head("zfnet", head, 256, 6, connected, dropout=dropout, dropout_first=True)
    return with_input(head, 224, features, end)


def small_alexnet(
    classes: int = 10,
    *,
    in_channels: int = 3,
    channels: int = 64,
    head: Head = "connected",
    dropout: float = 0.5,
) -> Sequential:
    """AlexNet scaled down to 32 x 32 images: `[B, 1024, C]` to logits `[B, 1, classes]`.

    Five convolutions, the first of a wide window at every second pixel, three overlapping pools,
    local response norms behind the first two pools, and three fully connected layers.

    Args:
        classes: channels of the single node at the end.
        in_channels: channels of the images.
        channels: of the first convolution; the others have two and three times as many.
        head: "connected", or "mean" for the mean over all pixels and one linear layer.
        dropout: probability of dropout before the first two fully connected layers.

    Raises:
        GeodlError: if there is no such head; at the call, images of another size.

    >>> import torch, geodl as g
    >>> small_alexnet()(g.Signal.image(torch.zeros(2, 3, 32, 32))).x.shape
    torch.Size([2, 1, 10])
    """
    windows = window(7, stride=2, padding=3), window(5)
    return _small("small_alexnet", classes, in_channels, channels, windows, head, dropout)


def small_zfnet(
    classes: int = 10,
    *,
    in_channels: int = 3,
    channels: int = 64,
    head: Head = "connected",
    dropout: float = 0.5,
) -> Sequential:
    """ZFNet scaled down to 32 x 32 images: :func:`small_alexnet` with a first window of 5x5 at
    every pixel in place of 7x7 at every second, and a second one at every second.

    Args:
        classes: channels of the single node at the end.
        in_channels: channels of the images.
        channels: of the first convolution; the others have two and three times as many.
        head: "connected", or "mean" for the mean over all pixels and one linear layer.
        dropout: probability of dropout before the first two fully connected layers.

    Raises:
        GeodlError: if there is no such head; at the call, images of another size.

    >>> import torch, geodl as g
    >>> small_zfnet()(g.Signal.image(torch.zeros(2, 3, 32, 32))).x.shape
    torch.Size([2, 1, 10])
    """
    windows = window(5), window(5, stride=2, padding=2)
    return _small("small_zfnet", classes, in_channels, channels, windows, head, dropout)


def _small(
    asked: str,
    classes: int,
    in_channels: int,
    channels: int,
    first_two: tuple[Window, Window],
    head: Head,
    dropout: float,
) -> Sequential:
    """The small networks, which differ in their first two windows."""
    twice, thrice = 2 * channels, 3 * channels
    first, second = first_two
    padded = window(3, stride=2, padding=1)
    features = [
        *(Conv(in_channels, channels, first), nn.ReLU()),
        *(Pool(padded), *_response_norm(2)),
        *(Conv(channels, twice, second), nn.ReLU()),
        *(Pool(padded), *_response_norm(2)),
        *(Conv(twice, thrice, window(3)), nn.ReLU()),
        *(Conv(thrice, thrice, window(3)), nn.ReLU()),
        *(Conv(thrice, twice, window(3)), nn.ReLU()),
    ]
    connected = (8 * channels, 8 * channels, classes)
    end = image_head(asked, head, twice, 4, connected, dropout=dropout, dropout_first=True)
    return with_input(head, 32, features, end)


def _response_norm(towers: int) -> list[nn.Module]:
    """The paper's norm, whose alpha is not divided by its five channels; none in one tower."""
    if towers == 1:
        return []
    return [LocalResponseNorm(5, alpha=5e-4, k=2.0)]

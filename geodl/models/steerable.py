"""The steerable filter CNN for rotated digits, over any group of the plane."""

from torch import nn

from geodl.errors import GeodlError, positive
from geodl.group import Group
from geodl.layer import BatchNorm, Conv, Dropout, Pool, Readout, Sequential
from geodl.neighborhood import fiber, lift, window

CHANNELS = (24, 32, 36, 36, 64, 96)
SIZES = (9, 7, 7, 7, 7, 5)


def sfcnn(
    classes: int = 10,
    *,
    group: Group,
    channels: tuple[int, ...] = CHANNELS,
    sizes: tuple[int, ...] = SIZES,
    halved_after: tuple[int, ...] = (2, 4),
    dropout: float = 0.3,
) -> Sequential:
    """The SFCNN of Weiler, Hamprecht and Storath as far as regular representations go: windows over
    a group, the maximum over the group, then a classifier of three linear layers. Images
    `[B, N, 1]` to logits `[B, 1, classes]`.

    The first and the last window are not padded, those between keep the size of the image. After
    layers `halved_after`, counted from 1, 2x2 maxima halve it. At the end the maximum over the
    group and over all pixels is left: exactly invariant under turns by 90 degrees, and under
    mirrors of D(n); under other turns approximately, with filters that are sums of circular
    harmonics.

    Args:
        classes: channels of the single node at the end.
        group: C(n) or D(n); the paper has C(16).
        channels: of each layer, for each element of the group. The paper's are those of 16
            elements; equal parameters are those times sqrt(16 / |G|).
        sizes: of each layer's window.
        halved_after: numbers of layers.
        dropout: probability before each linear layer.

    Raises:
        GeodlError: if there are not as many channels as sizes, or a group does not act on a plane.

    Source: Weiler, Hamprecht, Storath, "Learning Steerable Filters for Rotation Equivariant CNNs"
    (2018), table 1; Weiler and Cesa, "General E(2)-Equivariant Steerable CNNs" (2019), which adds
    batch norm and ELU in this order.

    >>> import geodl as g
    >>> model = sfcnn(group=g.C(4), channels=(2, 2), sizes=(5, 3), halved_after=(1,))
    >>> g.certify(model, g.Grid(28, 28)).exact
    True
    """
    if len(channels) != len(sizes) or not channels:
        asked = f"an SFCNN of {len(channels)} numbers of channels"
        raise GeodlError(asked, f"{len(sizes)} sizes", "give one of each for every layer")
    layers: list[nn.Module] = []
    before = 1
    last = len(sizes)
    for k, (width, size) in enumerate(zip(channels, sizes, strict=True), start=1):
        padding = "valid" if k in (1, last) else "same"
        rule = window(size, group=group, padding=padding)
        if k == 1:
            rule = lift(size, group=group, padding=padding)
        layers += [Conv(before, width, rule), BatchNorm(width)]
        if k == last:
            layers.append(Pool(fiber()))
        if k in halved_after:
            layers.append(Pool(window(2, stride=2)))
        layers.append(nn.ELU())
        before = width
    return Sequential(*layers, Readout("max"), *_classifier(before, classes, dropout))


def _classifier(channels: int, classes: int, dropout: float) -> list[nn.Module]:
    """Three linear layers, batch norm and ELU after each but the last, dropout before each."""
    layers: list[nn.Module] = []
    for _ in range(2):
        linear = nn.Linear(channels, channels)
        layers += [Dropout(dropout), linear, BatchNorm(channels), nn.ELU()]
    classes = positive("an SFCNN", classes)
    return [*layers, Dropout(dropout), nn.Linear(channels, classes)]

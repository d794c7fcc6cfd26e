"""VGG: small windows one behind the other, in place of one large one."""

from torch import nn

from geodl.errors import GeodlError, positive
from geodl.layer import BatchNorm, Conv, Pool, Sequential
from geodl.models.image_heads import Head, image_head, with_input
from geodl.neighborhood import window

# How many 3x3 convolutions stand before each of the five pools: columns A, B, D and E of the paper.
STAGES = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
WIDTHS = (64, 128, 256, 512, 512)


def vgg(
    depth: int = 16,
    classes: int = 1000,
    *,
    in_channels: int = 3,
    batch_norm: bool = False,
    head: Head = "connected",
    dropout: float = 0.5,
) -> Sequential:
    """VGG-11, -13, -16 or -19 for 224 x 224 images: `[B, 50176, 3]` to logits `[B, 1, classes]`.
    VGG-16 has 138,357,544 parameters.

    All windows are 3x3: two of them see what one of 5x5 sees, three what one of 7x7 sees, with 18
    and 27 weights for each pair of channels in place of 25 and 49. The state_dict has the names of
    torchvision's.

    Args:
        depth: 11, 13, 16 or 19 layers with weights.
        classes: channels of the single node at the end.
        in_channels: channels of the images.
        batch_norm: whether a batch norm follows each convolution, which the paper did not have.
        head: "connected", or "mean" for the mean over all pixels and one linear layer.
        dropout: probability of dropout behind the first two fully connected layers.

    Raises:
        GeodlError: if there is no network of that depth, or no such head; at the call, images of
            another size.

    Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition", 2015, table 1.

    >>> import torch
    >>> with torch.device("meta"):  # counted without memory
    ...     sum(p.numel() for p in vgg(16).parameters())
    138357544
    """
    if depth not in tuple(STAGES):
        raise GeodlError(f"vgg({depth!r})", do="give 11, 13, 16 or 19")
    parts: list[nn.Module] = []
    before = in_channels
    for count, width in zip(STAGES[depth], WIDTHS, strict=True):
        parts += _stage(before, width, count, 3, batch_norm)
        before = width
    end = image_head("vgg", head, before, 7, (4096, 4096, classes), dropout=dropout)
    return with_input(head, 224, parts, end)


def small_vgg(
    classes: int = 10,
    *,
    in_channels: int = 3,
    channels: int = 32,
    repeats: int = 2,
    window_size: int = 3,
) -> Sequential:
    """VGG scaled down to 32 x 32 images: three stages of windows of one size, at full, half and
    quarter size, with once, twice and four times the channels, batch norms, the mean over all
    pixels and a linear layer. `[B, 1024, C]` to logits `[B, 1, classes]`.

    The paper's comparison (section 4): `repeats=2` with windows of 3x3 against `repeats=1` with
    5x5, which see as far.

    Args:
        classes: channels of the single node at the end.
        in_channels: channels of the images.
        channels: of the first stage.
        repeats: convolutions in each stage.
        window_size: side of their windows, odd.

    Raises:
        GeodlError: if a number is not a positive integer.

    >>> import torch, geodl as g
    >>> small_vgg()(g.Signal.image(torch.zeros(2, 3, 32, 32))).x.shape
    torch.Size([2, 1, 10])
    """
    repeats = positive(f"small_vgg(repeats={repeats!r})", repeats)
    parts: list[nn.Module] = []
    before = in_channels
    for width in (channels, 2 * channels, 4 * channels):
        parts += _stage(before, width, repeats, window_size, True)
        before = width
    end = image_head("small_vgg", "mean", before, 4, (classes,))
    return with_input("mean", 32, parts, end)


def _stage(
    before: int, width: int, repeats: int, window_size: int, batch_norm: bool
) -> list[nn.Module]:
    """Convolutions of one width, and the pool that halves the image behind them."""
    parts: list[nn.Module] = []
    for _ in range(repeats):
        parts.append(Conv(before, width, window(window_size)))
        if batch_norm:
            parts.append(BatchNorm(width))
        parts.append(nn.ReLU())
        before = width
    return [*parts, Pool(window(2, stride=2))]

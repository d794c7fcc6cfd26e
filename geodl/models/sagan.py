"""The self-attention GAN: attention on a grid, spectral norms, class-conditional batch norms."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from geodl.errors import GeodlError, positive
from geodl.layer import (
    Attention,
    BatchNorm,
    Conv,
    Embedding,
    Expected,
    Network,
    Pointwise,
    Pool,
    Propagate,
    Residual,
    Sequential,
)
from geodl.models.gan_losses import LossName
from geodl.models.gan_pair import GAN, Game, Noise
from geodl.models.gan_parts import DOUBLE, HALVE, SLOPE, quarter_size, whole_map
from geodl.neighborhood import all_pairs, itself, window

# Makes the attention block, or its stand-in, of a number of channels.
Mixing = Callable[[int], Residual]


def sagan(
    classes: int = 10,
    size: int = 28,
    *,
    in_channels: int = 1,
    channels: int = 32,
    noise_channels: int = 64,
    noise: Noise = "gaussian",
    loss: LossName = "hinge",
    attention: bool = True,
    critic_rate: float = 4.0,
) -> GAN:
    """The self-attention GAN: in both networks every node of the feature maps of half the image's
    size attends to all others. Weights are divided by their spectral norms, but for the last layers
    of both networks; batch norms have a scale and a shift for each class; the discriminator scores
    by the inner product of its features and an embedding of the class (projection).

    Spectral norms are parametrizations of the weights: save the `state_dict`, as torch refuses to
    pickle such modules; `copy.deepcopy` copies them.

    Args:
        classes: how many there are.
        size: height and width of the images, a multiple of 4.
        in_channels: channels of the images.
        channels: as for :func:`dcgan`, a multiple of 8: queries and keys have an eighth of them,
            values a half.
        noise_channels: length of the noise vector.
        noise: its distribution, "gaussian" (standard normal) or "uniform" in [-1, 1].
        loss: as for :func:`dcgan`.
        attention: False replaces it by two linear layers at each node, with as many weights.
        critic_rate: the discriminator's learning rate over the generator's.

    Raises:
        GeodlError: as :func:`conditional_gan`; if the channels are no multiple of 8.

    Source: Zhang, Goodfellow, Metaxas, Odena, "Self-Attention Generative Adversarial Networks",
    2019; the projection: Miyato and Koyama, "cGANs with Projection Discriminator", 2018.

    >>> with_attention, without = sagan(channels=8), sagan(channels=8, attention=False)
    >>> sum(p.numel() for p in with_attention.parameters())
    57732
    >>> sum(p.numel() for p in without.parameters())
    57732
    """
    channels = positive(f"sagan(channels={channels!r})", channels)
    if channels % 8:
        raise GeodlError(f"sagan(channels={channels!r})", do="give a multiple of 8")
    quarter = quarter_size(size)
    mixing = _attention
    if not attention:
        mixing = _pointwise
    return GAN(
        _generator(noise_channels, channels, in_channels, quarter, classes, mixing),
        _discriminator(in_channels, channels, quarter, classes, mixing),
        noise_channels,
        noise=noise,
        game=Game(loss, critic_rate=critic_rate),
        classes=classes,
    )


def _generator(
    noise: int, channels: int, in_channels: int, quarter: int, classes: int, mixing: Mixing
) -> Network:
    """The generator: from noise and a class to an image with values in [-1, 1]."""
    features = 2 * channels
    nodes: dict[str, Any] = {
        "drawn": (_spectrally_normed(Conv(noise, features, whole_map(quarter).reverse())), "noise"),
        **_class_norm("norm1", "drawn", classes, features, quarter),
        "doubled": (_spectrally_normed(Conv(features, channels, DOUBLE)), "norm1"),
        **_class_norm("norm2", "doubled", classes, channels, 2 * quarter),
        "mixed": (mixing(channels), "norm2"),
        "image": (Sequential(Conv(channels, in_channels, DOUBLE), nn.Tanh()), "mixed"),
    }
    return Network(("noise", "label"), nodes)


def _discriminator(
    in_channels: int, channels: int, quarter: int, classes: int, mixing: Mixing
) -> Network:
    """The discriminator: from an image and a class to a score `v . f + w . (f * e_class)`, f the
    pooled features and e the embedding of the class.
    """
    features = 2 * channels
    seen = Sequential(
        Expected(4 * quarter, 4 * quarter),
        _spectrally_normed(Conv(in_channels, channels, HALVE)),
        nn.LeakyReLU(SLOPE),
        mixing(channels),
        _spectrally_normed(Conv(channels, features, HALVE)),
        nn.LeakyReLU(SLOPE),
        _spectrally_normed(Conv(features, features, window(3))),
        nn.LeakyReLU(SLOPE),
        Pool(whole_map(quarter), "mean"),
    )
    nodes: dict[str, Any] = {
        "features": (seen, "image"),
        "class": (Embedding(classes, features), "label"),
        "projected": ("mul", "features", "class"),
        "fitting": (Conv(features, 1, itself(), bias=False), "projected"),
        "real": (Conv(features, 1, itself()), "features"),
        "score": ("add", "real", "fitting"),
    }
    return Network(("image", "label"), nodes)


def _class_norm(name: str, read: str, classes: int, channels: int, size: int) -> dict[str, Any]:
    """Parts of a network: a batch norm with a scale and a shift for each class, and a ReLU.

    The embedding of a class is on one node; a reversed window as large as the feature map, without
    weights, copies it to every node.
    """
    scale, shift = Embedding(classes, channels), Embedding(classes, channels)
    nn.init.ones_(scale.weight)
    nn.init.zeros_(shift.weight)
    copied = Propagate(whole_map(size).reverse())
    return {
        f"{name}_rows": (BatchNorm(channels, affine=False), read),
        f"{name}_scale": (Sequential(scale, copied), "label"),
        f"{name}_shift": (Sequential(shift, copied), "label"),
        f"{name}_scaled": ("mul", f"{name}_rows", f"{name}_scale"),
        f"{name}_shifted": ("add", f"{name}_scaled", f"{name}_shift"),
        name: (nn.ReLU(), f"{name}_shifted"),
    }


def _attention(channels: int) -> Residual:
    """`x + g attention(x)`, g = 0 at first: one head of unscaled products, without biases."""
    attention = Attention(
        channels,
        all_pairs(),
        heads=1,
        score="product",
        head_dim=channels // 8,
        value_dim=channels // 2,
        bias=False,
    )
    spectral_norm(attention, "in_proj_weight")
    spectral_norm(attention.out_proj)
    return Residual(attention, Pointwise(_Gain()))


def _pointwise(channels: int) -> Residual:
    """The stand-in without attention, of equal size. Attention on C channels has (C / 8 + C / 8 +
    C / 2) C weights of queries, keys and values and (C / 2) C of the output projection, together
    5 C^2 / 4; two linear layers with 5 C / 8 channels between them have as many.
    """
    inner = 5 * channels // 8
    return Residual(
        _spectrally_normed(Conv(channels, inner, itself(), bias=False)),
        nn.ReLU(),
        _spectrally_normed(Conv(inner, channels, itself(), bias=False)),
        Pointwise(_Gain()),
    )


class _Gain(nn.Module):
    """`g x` with a learned scalar g, 0 at first."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """The product."""
        return self.gain * x


def _spectrally_normed(layer: Conv) -> Conv:
    """A layer whose weight is divided by its spectral norm, as the matrix from all values that a
    node receives to its channels (Miyato et al., "Spectral Normalization for Generative Adversarial
    Networks", 2018).
    """
    spectral_norm(layer, "weight", dim=2)
    return layer

"""The self-attention GAN: attention on a grid, spectral norms, norms with scales of classes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from geodl.errors import GeodlError
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
from geodl.models.gan_parts import DOUBLE, HALVE, SLOPE, all_of, quarter_of
from geodl.neighborhood import all_pairs, itself, window

Mixing = Callable[[int], Residual]  # makes the block of so many channels that has the attention


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
    """The self-attention GAN: in both networks every point of the map of half the size attends to
    all others. Weights, but for those of the layers that answer, are divided by their spectral
    norms, batch norms have a scale and a shift for each class, and the discriminator projects its
    features on a vector of the class.

    Args:
        classes: how many there are.
        size: height and width of the images, a multiple of 4.
        in_channels: channels of the images.
        channels: as for :func:`dcgan`, a multiple of 8: queries and keys have an eighth of them,
            values a half.
        noise_channels: how many numbers an image is made of, beside its class.
        noise: how they are drawn, "gaussian" or "uniform" in [-1, 1].
        loss: as for :func:`dcgan`.
        attention: False for two linear layers at each point in its place, with as many weights.
        critic_rate: how many times the generator's learning rate the discriminator's is.

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
    if channels % 8:
        raise GeodlError(f"sagan(channels={channels!r})", do="give a multiple of 8")
    quarter = quarter_of(size)
    mixing = _attention
    if not attention:
        mixing = _pointwise
    return GAN(
        _painter(noise_channels, channels, in_channels, quarter, classes, mixing),
        _critic(in_channels, channels, quarter, classes, mixing),
        noise_channels,
        noise=noise,
        game=Game(loss, critic_rate=critic_rate),
        classes=classes,
    )


def _painter(
    noise: int, channels: int, in_channels: int, quarter: int, classes: int, mixing: Mixing
) -> Network:
    """From noise and a class to an image in [-1, 1]."""
    features = 2 * channels
    nodes: dict[str, Any] = {
        "drawn": (_normed(Conv(noise, features, all_of(quarter).reverse())), "noise"),
        **_class_norm("norm1", "drawn", classes, features, quarter),
        "doubled": (_normed(Conv(features, channels, DOUBLE)), "norm1"),
        **_class_norm("norm2", "doubled", classes, channels, 2 * quarter),
        "mixed": (mixing(channels), "norm2"),
        "image": (Sequential(Conv(channels, in_channels, DOUBLE), nn.Tanh()), "mixed"),
    }
    return Network(("noise", "label"), nodes)


def _critic(in_channels: int, channels: int, quarter: int, classes: int, mixing: Mixing) -> Network:
    """From an image and a class to a score: how real the image is by itself, and how well its
    features fit the class, `w . (f * e_class)`.
    """
    features = 2 * channels
    seen = Sequential(
        Expected(4 * quarter, 4 * quarter),
        _normed(Conv(in_channels, channels, HALVE)),
        nn.LeakyReLU(SLOPE),
        mixing(channels),
        _normed(Conv(channels, features, HALVE)),
        nn.LeakyReLU(SLOPE),
        _normed(Conv(features, features, window(3))),
        nn.LeakyReLU(SLOPE),
        Pool(all_of(quarter), "mean"),
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
    """Nodes of a network: a batch norm with a scale and a shift for each class, and a ReLU.

    The vector of a class stands on one node; a reversed window as large as the map, without
    weights, copies it to every point.
    """
    scale, shift = Embedding(classes, channels), Embedding(classes, channels)
    nn.init.ones_(scale.weight)
    nn.init.zeros_(shift.weight)
    copied = Propagate(all_of(size).reverse())
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
    """The same without attention. Of C channels that has (C / 8 + C / 8 + C / 2) C weights of
    queries, keys and values and (C / 2) C of the answer, as two linear layers around 5 C / 8.
    """
    inner = 5 * channels // 8
    return Residual(
        _normed(Conv(channels, inner, itself(), bias=False)),
        nn.ReLU(),
        _normed(Conv(inner, channels, itself(), bias=False)),
        Pointwise(_Gain()),
    )


class _Gain(nn.Module):
    """`g x` with a learned number g, 0 at first."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """The product."""
        return self.gain * x


def _normed(layer: Conv) -> Conv:
    """A layer whose weight is divided by its spectral norm: that of the matrix from all that a node
    receives to its channels (Miyato et al., "Spectral Normalization for Generative Adversarial
    Networks", 2018).
    """
    spectral_norm(layer, "weight", dim=2)
    return layer

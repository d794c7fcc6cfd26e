"""Losses of discriminators and generators, and the gradient penalty."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.errors import GeodlError, nearest
from geodl.signal import Signal

LossName = Literal["original", "non-saturating", "hinge", "wasserstein"]


class AdversarialLoss(NamedTuple):
    """The losses of both networks, each a mean over images.

    Attributes:
        critic: the discriminator's loss, a function of the scores of real and of generated images,
            `[B, 1, 1]` each.
        generator: the generator's loss, a function of the scores of generated images.
        penalized: whether the discriminator's loss has a :func:`gradient_penalty`.
    """

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    penalized: bool = False


# A score s is the log-odds that an image is real: D = sigmoid(s), -log D = softplus(-s) and
# -log(1 - D) = softplus(s).
def _cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _minimax(fake: Tensor) -> Tensor:
    return -F.softplus(fake).mean()


def _non_saturating(fake: Tensor) -> Tensor:
    return F.softplus(-fake).mean()


def _hinge(real: Tensor, fake: Tensor) -> Tensor:
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def _score_difference(real: Tensor, fake: Tensor) -> Tensor:
    return fake.mean() - real.mean()


def _negative_score(fake: Tensor) -> Tensor:
    return -fake.mean()


# "original" and "non-saturating": Goodfellow et al., "Generative Adversarial Nets" (2014), equation
# 1 and the end of section 3: where D is sure that an image is generated, the gradient of log(1 - D)
# vanishes and that of -log D does not. "hinge": Lim and Ye, "Geometric GAN" (2017). "wasserstein":
# Gulrajani et al., "Improved Training of Wasserstein GANs" (2017).
LOSSES: dict[str, AdversarialLoss] = {
    "original": AdversarialLoss(_cross_entropy, _minimax),
    "non-saturating": AdversarialLoss(_cross_entropy, _non_saturating),
    "hinge": AdversarialLoss(_hinge, _negative_score),
    "wasserstein": AdversarialLoss(_score_difference, _negative_score, penalized=True),
}


def adversarial_loss(name: str) -> AdversarialLoss:
    """The losses called "original", "non-saturating", "hinge" or "wasserstein".

    Args:
        name: one of them.

    Raises:
        GeodlError: if there is none of that name; the nearest one is suggested.

    >>> hinge = adversarial_loss("hinge")
    >>> hinge.critic(torch.tensor([2.0, 0.0]), torch.tensor([-1.0])).item()
    0.5
    """
    if not isinstance(name, str) or name not in LOSSES:
        raise GeodlError(f"the adversarial loss {name!r}", do=nearest(str(name), LOSSES))
    return LOSSES[name]


def gradient_penalty(score: Callable[[Signal], Tensor], real: Signal, fake: Signal) -> Tensor:
    """`mean over images of (|d s(z) / d z| - 1)^2` at `z = t x + (1 - t) x'`, t uniform in [0, 1],
    drawn for each pair of a real image x and a generated one x'.

    To minimise it takes second derivatives of every layer of the discriminator.

    Args:
        score: the discriminator, one number for each image of a signal.
        real: images `[B, N, C]`.
        fake: generated images of the same shape.

    Raises:
        GeodlError: if the shapes differ; nothing is broadcast.

    Source: Gulrajani et al., "Improved Training of Wasserstein GANs", 2017, equation 3.

    >>> flat = Signal.image(torch.zeros(2, 1, 3, 3))
    >>> gradient_penalty(lambda image: image.x.sum((1, 2)), flat, flat)  # (sqrt(9) - 1)^2
    tensor(4.)
    """
    if real.shape != fake.shape:
        found = f"shapes {list(real.shape)} and {list(fake.shape)}"
        raise GeodlError("a gradient penalty", found, "give as many images of one size")
    shares = torch.rand(len(real.x), 1, 1, dtype=real.dtype, device=real.device)
    between = torch.lerp(fake.x.detach(), real.x.detach(), shares).requires_grad_()
    with torch.enable_grad():
        total = score(real.with_x(between)).sum()
        (slopes,) = torch.autograd.grad(total, between, create_graph=True)
    return (slopes.flatten(1).norm(dim=1) - 1).square().mean()

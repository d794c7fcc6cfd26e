"""Adversarial recipes on images so small that a run takes a second."""

import torch

import geodl as g
from geodl import models
from geodl.data import ImageData, Split
from geodl.train import Optimizer, Recipe, TrainerOptions
from geodl.train.judge import Judge, gan_parts

MAKES = {
    "dcgan": lambda **sizes: models.dcgan(hidden=6, **sizes),
    "wgan": lambda **sizes: models.dcgan(
        loss="wasserstein", critic_norm=False, critic_steps=2, **sizes
    ),
    "conditional": lambda **sizes: models.conditional_gan(hidden=6, **sizes),
    "infogan": lambda **sizes: models.infogan(hidden=6, **sizes),
    "sagan": models.sagan,
}


def small(kind):
    """A GAN of 8 x 8 images."""
    return MAKES[kind](size=8, channels=8, noise_channels=3)


def judge():
    torch.manual_seed(0)
    parts = (g.Conv(1, 4, g.window(8, padding="valid")), torch.nn.ReLU(), g.Conv(4, 10, g.itself()))
    return Judge(g.Sequential(*parts), torch.rand(20, 1, 8, 8))


def digits():
    torch.manual_seed(1)
    split = Split(torch.rand(20, 1, 8, 8), torch.arange(20) % 10)
    return ImageData("toy", split, split, split, 10)


def recipe(kind, *, epochs=2, **optimizer):
    """A recipe of five steps an epoch."""
    return Recipe(
        name="toy",
        summary="toy",
        task="adversarial",
        parts=lambda: gan_parts(digits(), judge()),
        protocol="toy",
        paper="none",
        model=lambda: small(kind),
        sample=lambda: (),
        optimizer=Optimizer(**{"lr": 1e-3, "beta1": 0.5} | optimizer),
        trainer=TrainerOptions(epochs, accelerator="cpu"),
        batch_size=4,
    )

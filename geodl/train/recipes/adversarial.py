"""Recipes of generative adversarial networks on MNIST."""

from collections.abc import Callable
from dataclasses import replace

import torch

from geodl import models
from geodl.data import mnist
from geodl.signal import Signal
from geodl.train.judge import gan_parts
from geodl.train.options import Optimizer, TrainerOptions
from geodl.train.parts import Parts
from geodl.train.recipe import NO_PAPER, Recipe
from geodl.train.recipes.convolutional import LENET
from geodl.train.recipes.protocols import LAST_EPOCH
from geodl.train.trained_judge import trained_judge


def _digits() -> Parts:
    data = mnist()
    return gan_parts(data, trained_judge(LENET, data))


def _read(gan: Callable[[], models.GAN]) -> Callable[[], tuple[Signal, ...]]:
    """What the generator of a recipe reads for one image."""
    return lambda: gan().draw_inputs(1, generator=torch.Generator().manual_seed(0))


SEEN = (
    "50,000 images to learn from; as many images are generated as there are test images, 10,000, "
    f"by the network in evaluation mode; {LAST_EPOCH}; the judge is the network of {LENET.name}, "
    "seed 0, which is trained first where the data folder has none; test/frechet is the Frechet "
    "distance |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)) of the generated images from the test "
    "images, m and S mean and covariance of the 84 numbers that the judge's last layer reads; "
    "test/frechet-real is that of the 10,000 validation images, which the judge has learnt from; "
    "test/rarest and test/commonest are the least and the largest share of a digit among the "
    "generated images, by the judge"
)
TOLD = f"{SEEN}; test/accuracy is the share of them in which the judge sees the digit asked for"

GAN = Recipe(
    name="mnist-gan",
    summary="a DCGAN on MNIST",
    task="adversarial",
    needs=(LENET,),
    parts=_digits,
    protocol=SEEN,
    paper=NO_PAPER,
    reached="49.36 Frechet distance from the test images",
    minutes=20,
    model=models.dcgan,
    sizes={"size": 28, "in_channels": 1},
    settings={"hidden": 128},
    sample=_read(models.dcgan),
    optimizer=Optimizer(lr=5e-4, beta1=0.5),
    trainer=TrainerOptions(12),
    batch_size=64,
)
CONDITIONAL = replace(
    GAN,
    name="mnist-cgan",
    summary="a conditional GAN on MNIST",
    trainer=TrainerOptions(4),
    protocol=TOLD,
    reached="98.25 % of the digits recognised",
    minutes=5,
    model=models.conditional_gan,
    settings={},
    sizes={"size": 28, "in_channels": 1, "classes": 10},
    sample=_read(models.conditional_gan),
)
INFO = replace(
    GAN,
    name="mnist-infogan",
    summary="an InfoGAN on MNIST, which sees no label",
    protocol=f"{SEEN}; test/ami is the adjusted mutual information of the code that an image was "
    "made of and the digit that the judge sees in it, test/ami-real that of the code that the "
    "discriminator's second head tells from a test image and the image's own digit",
    paper="5 % error where each code stands for the digit it mostly shows (Chen et al. 2016)",
    reached="80.53 ± 10.22 % mutual information of code and digit",
    minutes=6,
    model=models.infogan,
    settings={},
    sizes={"size": 28, "in_channels": 1},
    sample=_read(models.infogan),
    trainer=TrainerOptions(5),
)
WASSERSTEIN = replace(
    GAN,
    name="mnist-wgan-gp",
    summary="a Wasserstein GAN with gradient penalty on MNIST",
    reached="8.00 to 11.69 % of the images show each digit",
    minutes=12,
    settings={"loss": "wasserstein", "critic_norm": False, "critic_steps": 3},
    optimizer=Optimizer(lr=5e-4, beta1=0.0, beta2=0.9),
    trainer=TrainerOptions(12),
)
ATTENTIVE = replace(
    CONDITIONAL,
    name="mnist-sagan",
    reached="92.36 % of the digits recognised",
    minutes=18,
    summary="a self-attention GAN on MNIST",
    model=models.sagan,
    settings={"channels": 16, "critic_rate": 2.0},
    sample=_read(models.sagan),
    optimizer=Optimizer(lr=1e-3, beta1=0.0, beta2=0.9),
    trainer=TrainerOptions(10),
)
POINTWISE = replace(
    ATTENTIVE,
    name="mnist-sagan-pointwise",
    reached="91.96 % of the digits recognised",
    summary="a self-attention GAN without its attention, with as many weights, on MNIST",
    settings={"channels": 16, "critic_rate": 2.0, "attention": False},
)
ADVERSARIAL = (GAN, CONDITIONAL, INFO, WASSERSTEIN, ATTENTIVE, POINTWISE)

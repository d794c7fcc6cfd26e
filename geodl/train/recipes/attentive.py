"""Recipes of attention over other things than words: regions of an image, samples of a wave."""

import torch
from torch import nn

from geodl import models
from geodl.data import mnist_superpixels, tones
from geodl.errors import GeodlError
from geodl.layer import Attention, Conv, Readout, Residual, Sequential
from geodl.neighborhood import all_pairs, window
from geodl.signal import Signal
from geodl.train.options import Optimizer, TrainerOptions
from geodl.train.parts import graph_parts, wave_parts
from geodl.train.recipe import Recipe
from geodl.train.recipes.graphs import SUPERPIXELS


def region_transformer(
    *,
    features: int,
    classes: int,
    channels: int = 64,
    heads: int = 4,
    depth: int = 3,
    dropout: float = 0.0,
) -> Sequential:
    """A Transformer over the regions of each image: every region attends to all others, whatever
    touches what; where a region lies is among its features.

    Args:
        features: of a region.
        classes: channels of the single node at the end.
        channels: of a region inside.
        heads: of each attention.
        depth: how many blocks.
        dropout: as in :func:`geodl.models.transformer_encoder`.
    """
    blocks = models.transformer_encoder(
        channels, heads, depth, dropout=dropout, hidden=2 * channels, rule=all_pairs()
    )
    return Sequential(
        nn.Linear(features, channels), blocks, Readout("mean"), nn.Linear(channels, classes)
    )


def truncated_attention(
    *,
    classes: int,
    in_channels: int,
    channels: int = 16,
    heads: int = 2,
    depth: int = 2,
    reach: int | None = 32,
) -> Sequential:
    """A convolution over samples of a wave, then blocks of attention in which each sample attends
    to those that are at most `reach` away: self-attention as speech recognisers truncate it (Povey
    et al., "A Time-Restricted Self-Attention Layer for ASR", 2018).

    Args:
        classes: channels of the single node at the end.
        in_channels: channels of the wave.
        channels: of a sample inside.
        heads: of each attention.
        depth: how many blocks.
        reach: samples on each side; null for attention to all.

    Raises:
        GeodlError: if the reach is negative.
    """
    rule = all_pairs()
    if reach is not None:
        if reach < 0:
            raise GeodlError(f"attention to {reach} samples on each side", do="give at least 0")
        rule = window(2 * reach + 1, axes=1)
    layers: list[nn.Module] = [Conv(in_channels, channels, window(31, axes=1))]
    for _ in range(depth):
        attention = Attention(channels, rule, heads)
        wide, narrow = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)
        layers.append(Residual(nn.LayerNorm(channels), attention))
        layers.append(Residual(nn.LayerNorm(channels), wide, nn.GELU(), narrow))
    return Sequential(
        *layers, nn.LayerNorm(channels), Readout("mean"), nn.Linear(channels, classes)
    )


def _a_wave() -> tuple[Signal]:
    return (Signal.sequence(torch.zeros(1, 4000, 1)),)


ATTENTIVE = (
    Recipe(
        name="mnist-superpixel-attention",
        summary="a Transformer on superpixels of MNIST",
        task="graphs",
        parts=lambda: graph_parts(mnist_superpixels()),
        sample=SUPERPIXELS.sample,
        protocol=SUPERPIXELS.protocol,
        reached="95.04 % accuracy",
        minutes=13,
        model=region_transformer,
        sizes={"features": 3, "classes": 10},
        optimizer=Optimizer(lr=2e-3, schedule="one-cycle"),
        trainer=TrainerOptions(30),
        batch_size=128,
    ),
    Recipe(
        name="tones-truncated",
        summary="a network of attention within windows, which hears what tone sounds in noise",
        task="waves",
        parts=lambda: wave_parts(tones()),
        sample=_a_wave,
        protocol="1,000 waves of 4,000 samples to learn from, 250 to validate, 500 to test; "
        "weights of the last epoch, nothing selected on the test waves",
        reached="97.40 % accuracy",
        minutes=20,
        model=truncated_attention,
        sizes={"classes": 8, "in_channels": 1},
        optimizer=Optimizer(lr=3e-3, schedule="one-cycle"),
        trainer=TrainerOptions(30),
        batch_size=25,
    ),
)

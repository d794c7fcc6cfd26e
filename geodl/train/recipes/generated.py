"""Recipes on generated strings: backwards, by three systems of about equal size; sorted."""

import torch
from torch import nn

from geodl import models
from geodl.data import reversal, sorting
from geodl.signal import Signal
from geodl.train.options import Optimizer, TrainerOptions
from geodl.train.recipe import Recipe
from geodl.train.text_parts import rewriting_parts

SYMBOLS = 13  # ten letters, <pad>, <bos>, <eos>
LENGTHS = (5, 60)


def rnn(*, channels: int = 32, hidden: int = 128) -> nn.Module:
    """Two LSTMs: all that the second hears of the string is the last state of the first.

    Args:
        channels: channels of each letter.
        hidden: channels of the states.
    """
    return models.seq2seq(SYMBOLS, SYMBOLS, channels=channels, hidden=hidden)


def rnn_attention(*, channels: int = 32, hidden: int = 88) -> nn.Module:
    """Two GRUs, the second with additive attention to all states of the first.

    Args:
        channels: channels of each letter.
        hidden: channels of the states.
    """
    return models.seq2seq_attention(SYMBOLS, SYMBOLS, channels=channels, hidden=hidden)


def transformer(
    *, channels: int = 64, heads: int = 4, depth: int = 2, hidden: int = 128, pre_norm: bool = True
) -> nn.Module:
    """An encoder and a decoder of attention.

    Args:
        channels: channels of each letter.
        heads: heads of each attention.
        depth: blocks of each.
        hidden: channels inside the feed-forward layers.
        pre_norm: normalise before attention and feed-forward layers, or after, as the paper does.
    """
    return models.transformer(
        SYMBOLS,
        SYMBOLS,
        channels=channels,
        heads=heads,
        depth=depth,
        hidden=hidden,
        dropout=0.0,
        pre_norm=pre_norm,
    )


def _sample() -> tuple[Signal, Signal]:
    source = torch.zeros(1, 20, dtype=torch.long)
    return Signal.tokens(torch.zeros(1, 21, dtype=torch.long)), Signal.tokens(source)


PROTOCOL = (
    "20,000 random strings of 5 to 60 letters out of ten to learn from, "
    "500 to validate, 500 to test and 100 of each length 5, "
    "10, ..., 60, none in two parts; the most likely letter is taken "
    "each time; accuracy: letters written in their places, "
    "letters too many not counted; exact: whole strings; weights of "
    "the last epoch, nothing selected on the test strings"
)
PAPER = "no published number under this protocol"
RECURRENT = Optimizer(lr=5e-3, schedule="one-cycle", clip=1.0)
ATTENTIVE = Optimizer(lr=2e-3, schedule="one-cycle", clip=1.0)
REVERSE = (
    lambda: rewriting_parts("reversal (generated)", reversal, 20_000, LENGTHS),
    PROTOCOL,
    PAPER,
)

GENERATED = (
    Recipe(
        "reverse-rnn",
        "strings backwards by two LSTMs",
        "transduction",
        *REVERSE,
        rnn,
        _sample,
        RECURRENT,
        TrainerOptions(15),
        batch_size=64,
    ),
    Recipe(
        "reverse-rnn-attention",
        "strings backwards by two GRUs with additive attention",
        "transduction",
        *REVERSE,
        rnn_attention,
        _sample,
        RECURRENT,
        TrainerOptions(3),
        batch_size=64,
    ),
    Recipe(
        "reverse-transformer",
        "strings backwards by a Transformer",
        "transduction",
        *REVERSE,
        transformer,
        _sample,
        ATTENTIVE,
        TrainerOptions(16),
        batch_size=64,
    ),
    Recipe(
        "sort-transformer",
        "the letters of strings in order by a Transformer",
        "transduction",
        lambda: rewriting_parts("sorting (generated)", sorting, 20_000, (5, 20)),
        PROTOCOL.replace("5 to 60", "5 to 20").replace("10, ..., 60", "10, 15, 20"),
        PAPER,
        transformer,
        _sample,
        ATTENTIVE,
        TrainerOptions(5),
        batch_size=64,
    ),
)

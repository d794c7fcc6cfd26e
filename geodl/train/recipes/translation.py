"""Recipes that translate: without attention, with it, with nothing else."""

import torch
from torch import nn

from geodl import models
from geodl.data import tatoeba
from geodl.signal import Signal
from geodl.train.options import Optimizer, TrainerOptions
from geodl.train.recipe import Recipe
from geodl.train.text_parts import translation_parts

ENGLISH, FRENCH = 73, 91  # characters of the sentences to learn from, with the special symbols


def rnn(
    *, channels: int = 64, hidden: int = 256, depth: int = 1, dropout: float = 0.2
) -> nn.Module:
    """Two LSTMs: all that the second hears of the sentence is the last state of the first.

    Args:
        channels: channels of each character.
        hidden: channels of the states.
        depth: layers of each.
        dropout: between embedding, layers and answer.
    """
    return models.seq2seq(
        ENGLISH, FRENCH, channels=channels, hidden=hidden, depth=depth, dropout=dropout
    )


def rnn_attention(
    *, channels: int = 64, hidden: int = 256, depth: int = 1, dropout: float = 0.2
) -> nn.Module:
    """Two GRUs, the second with additive attention to all states of the first.

    Args:
        channels: channels of each character.
        hidden: channels of the states.
        depth: layers of each.
        dropout: between embedding, layers and answer.
    """
    return models.seq2seq_attention(
        ENGLISH, FRENCH, channels=channels, hidden=hidden, depth=depth, dropout=dropout
    )


def transformer(
    *,
    channels: int = 128,
    heads: int = 4,
    depth: int = 2,
    dropout: float = 0.1,
    pre_norm: bool = True,
) -> nn.Module:
    """An encoder and a decoder of attention.

    Args:
        channels: channels of each character.
        heads: heads of each attention.
        depth: blocks of each.
        dropout: after attention and inside the feed-forward layers.
        pre_norm: normalise before attention and feed-forward layers, or after, as the paper does.
    """
    return models.transformer(
        ENGLISH,
        FRENCH,
        channels=channels,
        heads=heads,
        depth=depth,
        dropout=dropout,
        pre_norm=pre_norm,
    )


def _sample() -> tuple[Signal, Signal]:
    target, source = torch.zeros(1, 16, dtype=torch.long), torch.zeros(1, 12, dtype=torch.long)
    return Signal.tokens(target), Signal.tokens(source)


PROTOCOL = (
    "English to French, character by character: 4,691 sentences with "
    "7,932 translations to learn from, 602 sentences to "
    "validate, 607 to test, by a hash of the English sentence, no English "
    "sentence in two parts; the most likely character is "
    "taken each time; exact: equal to one of the sentence's translations; "
    "chrF: against the best of them; weights of the last "
    "epoch, nothing selected on the test sentences"
)
PAPER = "no published number under this protocol"

TRANSLATIONS = (
    Recipe(
        "translate-rnn",
        "two LSTMs, English to French",
        "translation",
        lambda: translation_parts(tatoeba()),
        PROTOCOL,
        PAPER,
        rnn,
        _sample,
        Optimizer(lr=3e-3, schedule="one-cycle", clip=1.0),
        TrainerOptions(20, check_val_every_n_epoch=5),
        batch_size=64,
    ),
    Recipe(
        "translate-rnn-attention",
        "two GRUs with additive attention, English to French",
        "translation",
        lambda: translation_parts(tatoeba()),
        PROTOCOL,
        PAPER,
        rnn_attention,
        _sample,
        Optimizer(lr=3e-3, schedule="one-cycle", clip=1.0),
        TrainerOptions(20, check_val_every_n_epoch=5),
        batch_size=64,
    ),
    Recipe(
        "translate-transformer",
        "a Transformer, English to French",
        "translation",
        lambda: translation_parts(tatoeba()),
        PROTOCOL,
        PAPER,
        transformer,
        _sample,
        Optimizer(lr=2e-3, schedule="one-cycle", clip=1.0),
        TrainerOptions(30, check_val_every_n_epoch=5),
        batch_size=32,
    ),
)

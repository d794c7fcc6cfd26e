"""Recipes on text: the next character, a hidden one, the case of each, the language of a
sentence.
"""

from dataclasses import replace

import torch
from torch import nn

from geodl import models
from geodl.data import language_id, tinyshakespeare
from geodl.signal import Signal
from geodl.train.options import Optimizer, TrainerOptions
from geodl.train.recipe import Recipe
from geodl.train.text_parts import case_parts, masked_parts, sentence_parts, text_parts

CHARACTERS = 65  # of Tiny Shakespeare
CONTEXT, STEPS = 64, 250


def gpt(*, channels: int = 128, heads: int = 4, depth: int = 4, dropout: float = 0.0) -> nn.Module:
    """A decoder-only Transformer: every character hears itself and all before it.

    Args:
        channels: channels of each character.
        heads: heads of each attention.
        depth: blocks.
        dropout: after attention and inside the feed-forward layers.
    """
    return models.gpt(
        CHARACTERS, context=CONTEXT, channels=channels, heads=heads, depth=depth, dropout=dropout
    )


def lstm(
    *, channels: int = 128, hidden: int = 384, depth: int = 1, dropout: float = 0.0
) -> nn.Module:
    """An LSTM over characters: every character hears the one before it.

    Args:
        channels: channels of each character.
        hidden: channels of the state.
        depth: layers.
        dropout: between layers.
    """
    return models.char_rnn(
        CHARACTERS, channels=channels, hidden=hidden, depth=depth, dropout=dropout
    )


def tcn(*, channels: int = 128, depth: int = 5, size: int = 3, dropout: float = 0.0) -> nn.Module:
    """A temporal convolutional network: causal windows, dilated twice as far in each layer.

    Args:
        channels: channels of each layer.
        depth: layers.
        size: characters in a window.
        dropout: inside each layer.
    """
    return models.tcn(CHARACTERS, channels=channels, depth=depth, size=size, dropout=dropout)


def bert(
    *,
    channels: int = 128,
    heads: int = 4,
    depth: int = 4,
    dropout: float = 0.0,
    pre_norm: bool = True,
) -> nn.Module:
    """An encoder-only Transformer: every character hears all.

    Args:
        channels: channels of each character.
        heads: heads of each attention.
        depth: blocks.
        dropout: after attention and inside the feed-forward layers.
        pre_norm: normalise before attention and feed-forward layers, or after, as the paper does.
    """
    symbols = CHARACTERS + 1  # <mask>
    return models.bert(
        symbols,
        context=CONTEXT,
        channels=channels,
        heads=heads,
        depth=depth,
        dropout=dropout,
        pre_norm=pre_norm,
    )


def tagger(*, channels: int = 32, hidden: int = 64, depth: int = 1) -> nn.Module:
    """A bidirectional LSTM with two answers at each character.

    Args:
        channels: channels of each character.
        hidden: channels of each direction.
        depth: layers.
    """
    return models.tagger(41, 2, channels=channels, hidden=hidden, depth=depth)


def classifier(*, channels: int = 16, hidden: int = 64) -> nn.Module:
    """A GRU whose last state tells the class.

    Args:
        channels: channels of each character.
        hidden: channels of the state.
    """
    return models.sequence_classifier(95, 2, channels=channels, hidden=hidden)


def _tokens() -> tuple[Signal, ...]:
    return (Signal.tokens(torch.zeros(1, CONTEXT, dtype=torch.long)),)


NANOGPT = Optimizer(
    lr=1e-3,
    weight_decay=0.1,
    decayed="matrices",
    schedule="cosine",
    method="adamw",
    beta2=0.99,
    warmup=100,
    min_lr=1e-4,
    clip=1.0,
)
SHAKESPEARE = (
    "the first 90 % of the text to learn from, random windows of 64 "
    "characters, an epoch is 250 steps; val: the whole "
    "of the last 10 %, in windows of 64 side by side, nats a "
    "character; weights of the last step, nothing selected"
)
NO_NUMBER = "no published number under this protocol"

TEXTS = (
    Recipe(
        "shakespeare-gpt",
        "nanoGPT's network and steps for a CPU at twice its learning rate, Tiny Shakespeare",
        "next token",
        lambda: text_parts(tinyshakespeare(), CONTEXT, STEPS),
        SHAKESPEARE.replace(
            "nothing selected",
            "the better of the learning rates 1e-3 (nanoGPT's, 1.92) and 2e-3 on val",
        ),
        "val/loss 1.88 (nanoGPT's README; over 20 batches of random windows)",
        gpt,
        _tokens,
        replace(NANOGPT, lr=2e-3),
        TrainerOptions(8, check_val_every_n_epoch=2),
        batch_size=12,
    ),
    Recipe(
        "shakespeare-lstm",
        "an LSTM with the parameters and the characters of shakespeare-gpt",
        "next token",
        lambda: text_parts(tinyshakespeare(), CONTEXT, STEPS),
        SHAKESPEARE,
        NO_NUMBER,
        lstm,
        _tokens,
        Optimizer(lr=4e-3, schedule="cosine", warmup=100, min_lr=1e-4, clip=1.0),
        TrainerOptions(8, check_val_every_n_epoch=2),
        batch_size=12,
    ),
    Recipe(
        "shakespeare-tcn",
        "a temporal convolutional network on the characters of shakespeare-gpt",
        "next token",
        lambda: text_parts(tinyshakespeare(), CONTEXT, STEPS),
        SHAKESPEARE,
        NO_NUMBER,
        tcn,
        _tokens,
        Optimizer(lr=2e-3, schedule="cosine", warmup=100, min_lr=1e-4, clip=1.0),
        TrainerOptions(8, check_val_every_n_epoch=2),
        batch_size=12,
    ),
    Recipe(
        "shakespeare-bert",
        "masked characters of Tiny Shakespeare",
        "masked tokens",
        lambda: masked_parts(tinyshakespeare(), CONTEXT, STEPS),
        f"{SHAKESPEARE}; 15 % of the characters are asked: 80 % of them "
        "hidden, 10 % replaced by random ones, 10 % left",
        NO_NUMBER,
        bert,
        _tokens,
        NANOGPT,
        TrainerOptions(12, check_val_every_n_epoch=4),
        batch_size=24,
    ),
    Recipe(
        "truecase-bilstm",
        "the case of each letter of Tiny Shakespeare (n to n)",
        "tags",
        lambda: case_parts(tinyshakespeare()),
        "lines in lower case; the first 79 % to learn from, the next 11 % "
        "to validate, the last 10 % to test, both without the "
        "lines that were learnt from; 87.8 % of the test letters are lower "
        "case; accuracy over letters; weights of the last "
        "epoch, nothing selected on the test lines",
        NO_NUMBER,
        tagger,
        _tokens,
        Optimizer(lr=3e-3, schedule="one-cycle"),
        TrainerOptions(5),
        batch_size=64,
    ),
    Recipe(
        "language-id-gru",
        "English or French, from the characters of a sentence (n to 1)",
        "sequences",
        lambda: sentence_parts(language_id()),
        "11,959 sentences to learn from, 1,500 to validate, 1,552 to test, "
        "none in two parts; 61 % of the test sentences are "
        "French; weights of the last epoch, nothing selected on the test sentences",
        NO_NUMBER,
        classifier,
        _tokens,
        Optimizer(lr=3e-3, schedule="one-cycle"),
        TrainerOptions(8),
        batch_size=64,
    ),
)

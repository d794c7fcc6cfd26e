"""Recipes that translate: without attention, with it, with nothing else."""

from dataclasses import replace

import torch

from geodl import models
from geodl.data import tatoeba
from geodl.signal import Signal
from geodl.train.options import Optimizer, TrainerOptions
from geodl.train.recipe import Recipe
from geodl.train.text_parts import translation_parts


def _sample() -> tuple[Signal, Signal]:
    target = torch.zeros(1, 16, dtype=torch.long)
    source = torch.zeros(1, 12, dtype=torch.long)
    return Signal.tokens(target), Signal.tokens(source)


TRANSLATE_RNN = Recipe(
    name="translate-rnn",
    summary="two LSTMs that translate English into French (n to m)",
    task="translation",
    parts=lambda: translation_parts(tatoeba()),
    protocol="English to French, character by character: 4,691 sentences with 7,932 translations "
    "to learn from, 602 sentences to validate, 607 to test, by a hash of the English sentence, no "
    "English sentence in two parts; the most likely character is taken each time; exact: equal to "
    "one of the sentence's translations; chrF: against the best of them; weights of the last "
    "epoch, nothing selected on the test sentences",
    reached="26.0 % chrF",
    minutes=2,
    model=models.seq2seq,
    sizes={"source_symbols": 73, "target_symbols": 91},  # characters to learn from, and specials
    settings={"hidden": 256, "dropout": 0.2},
    sample=_sample,
    optimizer=Optimizer(lr=3e-3, schedule="one-cycle", clip=1.0),
    trainer=TrainerOptions(20, check_val_every_n_epoch=5),
    batch_size=64,
)

TRANSLATIONS = (
    TRANSLATE_RNN,
    replace(
        TRANSLATE_RNN,
        name="translate-rnn-attention",
        summary="two GRUs with additive attention that translate English into French (n to m)",
        reached="43.9 % chrF",
        minutes=6,
        model=models.seq2seq_attention,
    ),
    replace(
        TRANSLATE_RNN,
        name="translate-transformer",
        summary="a Transformer that translates English into French (n to m)",
        reached="37.4 % chrF",
        minutes=8,
        model=models.transformer,
        settings={"depth": 2, "pre_norm": True},
        optimizer=Optimizer(lr=2e-3, schedule="one-cycle", clip=1.0),
        trainer=TrainerOptions(30, check_val_every_n_epoch=5),
        batch_size=32,
    ),
)

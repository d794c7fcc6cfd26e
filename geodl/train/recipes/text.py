"""Recipes on text: the next character, a hidden one, the case of each, the language of a
sentence.
"""

from dataclasses import replace

import torch

from geodl import models
from geodl.data import language_id, tinyshakespeare
from geodl.signal import Signal
from geodl.train.options import Optimizer, TrainerOptions
from geodl.train.parts import Parts
from geodl.train.recipe import Recipe
from geodl.train.text_parts import case_parts, masked_parts, sentence_parts, text_parts

CHARACTERS = 65  # of Tiny Shakespeare
CONTEXT, STEPS = 64, 250


def _next_character() -> Parts:
    return text_parts(tinyshakespeare(), CONTEXT, STEPS)


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
PLAIN = Optimizer(lr=2e-3, schedule="cosine", warmup=100, min_lr=1e-4, clip=1.0)
ONE_CYCLE = Optimizer(lr=3e-3, schedule="one-cycle")
SHAKESPEARE = (
    "the first 90 % of the text to learn from, random windows of 64 characters, an epoch is 250 "
    "steps; val: the whole of the last 10 %, in windows of 64 side by side, nats a character; "
    "weights of the last step, nothing selected"
)

GPT = Recipe(
    name="shakespeare-gpt",
    summary="a GPT of nanoGPT's size for a CPU, at twice its learning rate, on Tiny Shakespeare",
    task="next token",
    parts=_next_character,
    protocol=SHAKESPEARE.replace(
        "nothing selected",
        "the better of the learning rates 1e-3 (nanoGPT's, 1.92) and 2e-3 on val",
    ),
    paper="val/loss 1.88 (nanoGPT's README; over 20 batches of random windows)",
    reached="1.816 ± 0.003 nats a character",
    minutes=2,
    model=models.gpt,
    sizes={"symbols": CHARACTERS, "context": CONTEXT},
    sample=_tokens,
    optimizer=replace(NANOGPT, lr=2e-3),
    trainer=TrainerOptions(8, check_val_every_n_epoch=2),
    batch_size=12,
)
LSTM = replace(
    GPT,
    name="shakespeare-lstm",
    summary="an LSTM of as many parameters as shakespeare-gpt on Tiny Shakespeare",
    protocol=SHAKESPEARE,
    paper="no published number under this protocol",
    reached="1.577 ± 0.006 nats a character",
    minutes=2,
    model=models.char_rnn,
    sizes={"symbols": CHARACTERS},
    settings={"hidden": 384},
    optimizer=replace(PLAIN, lr=4e-3),
)

TEXTS = (
    GPT,
    LSTM,
    replace(
        LSTM,
        name="shakespeare-tcn",
        summary="a temporal convolutional network on Tiny Shakespeare",
        reached="1.731 ± 0.016 nats a character",
        minutes=2,
        model=models.tcn,
        settings={},
        optimizer=PLAIN,
    ),
    replace(
        LSTM,
        name="shakespeare-bert",
        summary="a BERT that guesses hidden characters of Tiny Shakespeare",
        task="masked tokens",
        parts=lambda: masked_parts(tinyshakespeare(), CONTEXT, STEPS),
        protocol=f"{SHAKESPEARE}; 15 % of the characters are asked: 80 % of them hidden, 10 % "
        "replaced by random ones, 10 % left",
        reached="1.808 nats a hidden character",
        minutes=4,
        model=models.bert,
        sizes={"symbols": CHARACTERS + 1, "context": CONTEXT},  # <mask> is a symbol
        settings={"dropout": 0.0, "pre_norm": True},
        optimizer=NANOGPT,
        trainer=TrainerOptions(12, check_val_every_n_epoch=4),
        batch_size=24,
    ),
    Recipe(
        name="truecase-bilstm",
        summary="a bidirectional LSTM that restores the capitals of Tiny Shakespeare (n to n)",
        task="tags",
        parts=lambda: case_parts(tinyshakespeare()),
        protocol="lines in lower case; the first 79 % to learn from, the next 11 % to validate, "
        "the last 10 % to test, both without the lines that were learnt from; 87.8 % of the test "
        "letters are lower case; accuracy over letters; weights of the last epoch, nothing "
        "selected on the test lines",
        reached="98.19 ± 0.06 % of the letters",
        minutes=1,
        model=models.tagger,
        sizes={"symbols": 41, "classes": 2},
        settings={"channels": 32, "hidden": 64},
        sample=_tokens,
        optimizer=ONE_CYCLE,
        trainer=TrainerOptions(5),
        batch_size=64,
    ),
    Recipe(
        name="language-id-gru",
        summary="a GRU that tells English from French sentences (n to 1)",
        task="sequences",
        parts=lambda: sentence_parts(language_id()),
        protocol="11,959 sentences to learn from, 1,500 to validate, 1,552 to test, none in two "
        "parts; 61 % of the test sentences are French; weights of the last epoch, nothing "
        "selected on the test sentences",
        reached="99.48 ± 0.17 % accuracy",
        minutes=0.5,
        model=models.sequence_classifier,
        sizes={"symbols": 95, "classes": 2},
        settings={"channels": 16, "hidden": 64},
        sample=_tokens,
        optimizer=ONE_CYCLE,
        trainer=TrainerOptions(8),
        batch_size=64,
    ),
)

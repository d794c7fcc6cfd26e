"""Recipes on texts, sentences, images and strings so small that a run takes a second."""

import torch

import geodl as g
from geodl.data import PairData, SentenceData, Sentences, Split, TextData, Translations, Vocabulary
from geodl.train import Optimizer, Recipe, TrainerOptions
from geodl.train import text_parts as parts

ADAM = Optimizer(lr=1e-2, clip=1.0)
SAID = "the cat sat on the mat. Tom saw it. "


def text(letters=SAID):
    return TextData("toy", letters * 8, letters * 2, Vocabulary.of_characters([letters]))


def translations():
    pairs = {
        "I see.": ("Je vois.", "Moi, je vois."),
        "I am.": ("Je suis.",),
        "Go on!": ("Va !",),
        "No.": ("Non.",),
    }
    return PairData("toy", Translations(pairs), Translations(pairs), Translations(pairs))


def recipe(task, made, model, epochs=2, size=4, name="toy"):
    """A recipe on toy data; its model is made for the sizes of its vocabularies."""
    sizes = {name: len(vocabulary) for name, vocabulary in made().vocabularies.items()}
    trainer = TrainerOptions(epochs, accelerator="cpu")
    return Recipe(
        name=name,
        summary="toy",
        task=task,
        parts=made,
        protocol="toy",
        paper="none",
        model=lambda: model(**sizes),
        sample=lambda: (),
        optimizer=ADAM,
        trainer=trainer,
        batch_size=size,
    )


def lettered(letters=SAID, epochs=2):
    return recipe(
        "next token",
        lambda: parts.text_parts(text(letters), 8, 5),
        lambda target: g.models.gpt(target, context=8, channels=8, heads=2, depth=1),
        epochs,
    )


def small(source, target):
    return g.models.seq2seq_attention(source, target, channels=8, hidden=8)


def images():
    split = Split(torch.eye(64)[:6].reshape(6, 1, 8, 8), torch.arange(6))
    return g.data.ImageData("toy", split, split, split, 10)


def sentences():
    part = Sentences(("No.", "Non.", "I am.", "Je suis."), torch.tensor([0, 1, 0, 1]))
    return SentenceData("toy", part, part, part, ("English", "French"))


def lines():
    learnt = "Tom saw It.\nthe Cat.\n" * 8
    return TextData(
        "toy",
        f"{learnt}the Mat.\nTom ran.\n",
        "Tom sat.\nTom saw It.\n",
        Vocabulary.of_characters(["x"]),
    )


TOYS = {
    "next token": lettered(),
    "masked tokens": recipe(
        "masked tokens",
        lambda: parts.masked_parts(text(), 8, 5),
        lambda source, target: g.models.bert(target, context=8, channels=8, heads=2, depth=1),
    ),
    "tags": recipe(
        "tags",
        lambda: parts.case_parts(lines()),
        lambda source: g.models.tagger(source, 2, channels=4, hidden=4),
    ),
    "sequences": recipe(
        "sequences",
        lambda: parts.sentence_parts(sentences()),
        lambda source: g.models.sequence_classifier(source, 2, channels=4, hidden=4),
    ),
    "captions": recipe(
        "captions",
        lambda: parts.caption_parts(images()),
        lambda target: g.models.captioner(target, channels=2, hidden=4),
    ),
    "transduction": recipe(
        "transduction",
        lambda: parts.rewriting_parts("toy", g.data.reversal, 30, (5, 10)),
        small,
        size=8,
    ),
    "translation": recipe("translation", lambda: parts.translation_parts(translations()), small),
}

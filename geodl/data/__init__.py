"""The data room: cards, verified downloads, and loaders that return signals, images and texts."""

from geodl.data.base import GraphData, ImageData, NodeData, Split
from geodl.data.cards import Card, File, card, names, root
from geodl.data.fetch import check, get
from geodl.data.graphs import citeseer, cora, karate
from geodl.data.images import digits, mnist, rotate
from geodl.data.loader import GraphLoader
from geodl.data.molecules import mutag
from geodl.data.rotated import rotated_mnist
from geodl.data.text import (
    PairData,
    SentenceData,
    Sentences,
    TextData,
    Translations,
    crossing,
    disjoint,
    language_id,
    part,
    tatoeba,
    tinyshakespeare,
)
from geodl.data.text_batches import blocks, bucketed, padded, windows
from geodl.data.text_tasks import (
    DIGIT_NAMES,
    Sequences,
    Spelled,
    Truecase,
    recase,
    reversal,
    sorting,
    spelled,
    truecase,
)
from geodl.data.text_vectors import load_vectors
from geodl.data.text_vocabulary import BOS, EOS, MASK, PAD, SPECIALS, UNK, Vocabulary
from geodl.data.text_words import join, normalized, words

__all__ = [
    "BOS",
    "DIGIT_NAMES",
    "EOS",
    "MASK",
    "PAD",
    "SPECIALS",
    "UNK",
    "Card",
    "File",
    "GraphData",
    "GraphLoader",
    "ImageData",
    "NodeData",
    "PairData",
    "SentenceData",
    "Sentences",
    "Sequences",
    "Spelled",
    "Split",
    "TextData",
    "Translations",
    "Truecase",
    "Vocabulary",
    "blocks",
    "bucketed",
    "card",
    "check",
    "citeseer",
    "cora",
    "crossing",
    "digits",
    "disjoint",
    "get",
    "join",
    "karate",
    "language_id",
    "load_vectors",
    "mnist",
    "mutag",
    "names",
    "normalized",
    "padded",
    "part",
    "recase",
    "reversal",
    "root",
    "rotate",
    "rotated_mnist",
    "sorting",
    "spelled",
    "tatoeba",
    "tinyshakespeare",
    "truecase",
    "windows",
    "words",
]

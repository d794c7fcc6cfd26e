"""The data room: cards, verified downloads, and loaders that return signals, images and texts."""

from geodl.data.augmentation import Augmentation, FlipsAndShifts, Rotations, Shifts
from geodl.data.base import (
    CloudData,
    Clouds,
    GraphData,
    GraphSplits,
    ImageData,
    LinkData,
    NodeData,
    NodePairs,
    Split,
)
from geodl.data.boxes import Objects
from geodl.data.cards import Card, File, card, names, root
from geodl.data.cifar import cifar10, cifar10_official
from geodl.data.fetch import check, get
from geodl.data.folder import image_folder
from geodl.data.graphs import citeseer, cora, karate
from geodl.data.images import digits, mnist, rotate
from geodl.data.links import split_links, unlinked
from geodl.data.loader import GraphLoader
from geodl.data.molecules import folds, mutag, proteins
from geodl.data.regions import Regions, mnist_superpixels, superpixels
from geodl.data.rotated import rotated_mnist
from geodl.data.scenes import ABSENT, Scenes, scenes
from geodl.data.solids import solid_voxels, solids, voxels
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
from geodl.data.tones import WaveData, Waves, tones

__all__ = [
    "ABSENT",
    "BOS",
    "DIGIT_NAMES",
    "EOS",
    "MASK",
    "PAD",
    "SPECIALS",
    "UNK",
    "Augmentation",
    "Card",
    "CloudData",
    "Clouds",
    "File",
    "FlipsAndShifts",
    "GraphData",
    "GraphLoader",
    "GraphSplits",
    "ImageData",
    "LinkData",
    "NodeData",
    "NodePairs",
    "Objects",
    "PairData",
    "Regions",
    "Rotations",
    "Scenes",
    "SentenceData",
    "Sentences",
    "Sequences",
    "Shifts",
    "Spelled",
    "Split",
    "TextData",
    "Translations",
    "Truecase",
    "Vocabulary",
    "WaveData",
    "Waves",
    "blocks",
    "bucketed",
    "card",
    "check",
    "cifar10",
    "cifar10_official",
    "citeseer",
    "cora",
    "crossing",
    "digits",
    "disjoint",
    "folds",
    "get",
    "image_folder",
    "join",
    "karate",
    "language_id",
    "load_vectors",
    "mnist",
    "mnist_superpixels",
    "mutag",
    "names",
    "normalized",
    "padded",
    "part",
    "proteins",
    "recase",
    "reversal",
    "root",
    "rotate",
    "rotated_mnist",
    "scenes",
    "solid_voxels",
    "solids",
    "sorting",
    "spelled",
    "split_links",
    "superpixels",
    "tatoeba",
    "tinyshakespeare",
    "tones",
    "truecase",
    "unlinked",
    "voxels",
    "windows",
    "words",
]

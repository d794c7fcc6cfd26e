"""The data room: cards, verified downloads, and loaders that return signals and images."""

from geodl.data.base import ImageData, NodeData, Split
from geodl.data.cards import Card, File, card, names, root
from geodl.data.fetch import check, get
from geodl.data.graphs import citeseer, cora, karate
from geodl.data.images import digits, mnist, rotate
from geodl.data.rotated import rotated_mnist

__all__ = [
    "Card", "File", "ImageData", "NodeData", "Split",
    "card", "check", "citeseer", "cora", "digits", "get", "karate", "mnist", "names", "root", "rotate", "rotated_mnist",
]  # fmt: skip

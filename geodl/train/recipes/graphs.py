"""Recipes on graphs."""

from collections.abc import Callable

from torch import nn

from geodl import models
from geodl.data import citeseer, cora, karate
from geodl.train.options import Optimizer, TrainerOptions
from geodl.train.parts import node_parts
from geodl.train.peer import PygGCN
from geodl.train.recipe import Recipe


def _gcn(channels: int, classes: int) -> Callable[..., nn.Module]:
    def gcn(*, hidden: int = 16, dropout: float = 0.5) -> nn.Module:
        """The graph convolutional network of Kipf and Welling.

        Args:
            hidden: channels of the hidden layer.
            dropout: before both layers.
        """
        return models.gcn(channels, hidden, classes, dropout=dropout)

    return gcn


def _pyg_gcn(channels: int, classes: int) -> Callable[..., nn.Module]:
    def gcn(*, hidden: int = 16, dropout: float = 0.5) -> nn.Module:
        """The graph convolutional network of Kipf and Welling, computed by PyG.

        Args:
            hidden: channels of the hidden layer.
            dropout: before both layers.
        """
        return PygGCN(channels, hidden, classes, dropout)

    return gcn


PUBLIC_SPLIT = (
    "public split, {} labelled nodes to learn from, 500 to "
    "validate, 1000 to test; row-normalised features; "
    "weights of the last epoch, nothing selected on the test nodes"
)
KIPF = Optimizer(lr=0.01, weight_decay=5e-4, decayed="first")

GRAPHS = (
    Recipe(
        "cora-gcn",
        "the GCN of Kipf and Welling on Cora",
        "nodes",
        lambda: node_parts(cora(sparse=True)),
        PUBLIC_SPLIT.format(140),
        "81.5 % accuracy (Kipf and Welling 2017, table 2)",
        _gcn(1433, 7),
        lambda: (cora(sparse=True).signal,),
        KIPF,
        TrainerOptions(200, check_val_every_n_epoch=20),
    ),
    Recipe(
        "cora-gcn-pyg",
        "the same with PyG's GCNConv as the layer, on dense features",
        "nodes",
        lambda: node_parts(cora()),
        PUBLIC_SPLIT.format(140),
        "81.5 % accuracy (Kipf and Welling 2017, table 2)",
        _pyg_gcn(1433, 7),
        lambda: (cora().signal,),
        KIPF,
        TrainerOptions(200, check_val_every_n_epoch=20),
    ),
    Recipe(
        "citeseer-gcn",
        "the GCN of Kipf and Welling on CiteSeer",
        "nodes",
        lambda: node_parts(citeseer(sparse=True)),
        PUBLIC_SPLIT.format(120),
        "70.3 % accuracy (Kipf and Welling 2017, table 2)",
        _gcn(3703, 6),
        lambda: (citeseer(sparse=True).signal,),
        KIPF,
        TrainerOptions(200, check_val_every_n_epoch=20),
    ),
    Recipe(
        "karate-gcn",
        "the GCN on Zachary's karate club, two members known",
        "nodes",
        lambda: node_parts(karate()),
        "learnt from the instructor and the president, tested "
        "on the other 32; weights of the last epoch",
        "no published number under this protocol",
        _gcn(34, 2),
        lambda: (karate().signal,),
        KIPF,
        TrainerOptions(200, check_val_every_n_epoch=20),
    ),
)

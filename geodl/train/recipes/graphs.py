"""Recipes on graphs."""

from dataclasses import replace

from torch import nn

from geodl import models
from geodl.data import citeseer, cora, karate
from geodl.train.options import Optimizer, TrainerOptions
from geodl.train.parts import node_parts
from geodl.train.peer import PygGCN
from geodl.train.recipe import Recipe


def gcn(*, features: int, classes: int, hidden: int = 16, dropout: float = 0.5) -> nn.Module:
    """The graph convolutional network of Kipf and Welling (2017), two layers.

    Args:
        features: channels of the input.
        classes: channels of the output.
        hidden: channels of the hidden layer.
        dropout: before both layers.
    """
    return models.gcn(features, hidden, classes, dropout=dropout)


def pyg_gcn(*, features: int, classes: int, hidden: int = 16, dropout: float = 0.5) -> nn.Module:
    """The same network out of PyG's layers; arguments as for :func:`gcn`.

    Args:
        features: channels of the input.
        classes: channels of the output.
        hidden: channels of the hidden layer.
        dropout: before both layers.
    """
    return PygGCN(features, hidden, classes, dropout)


PUBLIC_SPLIT = (
    "public split, {} labelled nodes to learn from, 500 to validate, 1000 to test; "
    "row-normalised features; weights of the last epoch, nothing selected on the test nodes"
)

CORA = Recipe(
    name="cora-gcn",
    summary="the GCN of Kipf and Welling on Cora",
    task="nodes",
    parts=lambda: node_parts(cora(sparse=True)),
    sample=lambda: (cora(sparse=True).signal,),
    protocol=PUBLIC_SPLIT.format(140),
    paper="81.5 % accuracy (Kipf and Welling 2017, table 2)",
    reached="81.50 ± 0.76 % accuracy",
    minutes=0.1,
    model=gcn,
    sizes={"features": 1433, "classes": 7},
    optimizer=Optimizer(lr=0.01, weight_decay=5e-4, decayed="first"),
    trainer=TrainerOptions(200, check_val_every_n_epoch=20),
)

GRAPHS = (
    CORA,
    replace(
        CORA,
        name="cora-gcn-pyg",
        summary="PyG's GCNConv in place of our layer on Cora, dense features",
        parts=lambda: node_parts(cora()),
        sample=lambda: (cora().signal,),
        reached="81.41 ± 0.60 % accuracy",
        minutes=0.3,
        model=pyg_gcn,
    ),
    replace(
        CORA,
        name="citeseer-gcn",
        summary="the GCN of Kipf and Welling on CiteSeer",
        parts=lambda: node_parts(citeseer(sparse=True)),
        sample=lambda: (citeseer(sparse=True).signal,),
        protocol=PUBLIC_SPLIT.format(120),
        paper="70.3 % accuracy (Kipf and Welling 2017, table 2)",
        reached="70.97 ± 0.47 % accuracy",
        minutes=0.1,
        sizes={"features": 3703, "classes": 6},
    ),
    replace(
        CORA,
        name="karate-gcn",
        summary="a GCN on Zachary's karate club, the sides of two members known",
        parts=lambda: node_parts(karate()),
        sample=lambda: (karate().signal,),
        protocol="learnt from the instructor and the president, tested on the other 32; weights "
        "of the last epoch",
        paper="no published number under this protocol",
        reached="95.83 ± 1.80 % accuracy",
        minutes=0.1,
        sizes={"features": 34, "classes": 2},
    ),
)

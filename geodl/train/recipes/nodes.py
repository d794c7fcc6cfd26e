"""Recipes on the nodes of one graph: papers, and the citations between them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, final

from torch import nn

from geodl.data import NodeData, citeseer, cora, karate
from geodl.signal import Signal
from geodl.train import node_models
from geodl.train.options import Optimizer, TrainerOptions
from geodl.train.parts import Parts, node_parts
from geodl.train.recipe import NO_PAPER, Recipe
from geodl.train.recipes.reached import reached


class Citations(NamedTuple):
    """A set of papers: what it is called, its loader, its sizes, and labelled papers to learn
    from.
    """

    title: str
    load: Callable[..., NodeData]
    features: int
    classes: int
    labelled: int


@final
@dataclass(frozen=True, kw_only=True)
class Network:
    """A network, and how it is trained on papers, as its authors do unless the protocol says
    otherwise.

    Args:
        name: the middle of the recipe's name.
        title: what it is.
        model: makes it.
        optimizer: the optimiser.
        trainer: how long.
        papers: published numbers by data set.
        dense: whether PyG's layer takes no sparse features.
    """

    name: str
    title: str
    model: Callable[..., nn.Module]
    optimizer: Optimizer
    trainer: TrainerOptions
    papers: dict[str, str]
    dense: bool = False


PAPERS = {
    "cora": Citations("Cora", cora, 1433, 7, 140),
    "citeseer": Citations("CiteSeer", citeseer, 3703, 6, 120),
}
PUBLIC_SPLIT = (
    "public split, {} labelled nodes to learn from, 500 to validate, 1000 to test; "
    "row-normalised features; nothing selected on the test nodes"
)
KIPF = Optimizer(lr=0.01, weight_decay=5e-4, decayed="first")
LAST_OF_200 = TrainerOptions(200, check_val_every_n_epoch=20)
BEST_OF_200 = TrainerOptions(200, check_val_every_n_epoch=10, weights="best")

NETWORKS = (
    Network(
        name="gcn",
        title="the GCN of Kipf and Welling",
        model=node_models.gcn,
        optimizer=KIPF,
        trainer=LAST_OF_200,
        papers={
            "cora": "81.5 % accuracy (Kipf and Welling 2017, table 2)",
            "citeseer": "70.3 % accuracy (Kipf and Welling 2017, table 2)",
        },
    ),
    Network(
        name="cheb",
        title="the Chebyshev network of Defferrard et al.",
        model=node_models.cheb,
        optimizer=KIPF,
        trainer=LAST_OF_200,
        papers={
            "cora": "81.2 % accuracy (Kipf and Welling 2017, table 3, K = 2)",
            "citeseer": "69.6 % accuracy (Kipf and Welling 2017, table 3, K = 2)",
        },
        dense=True,
    ),
    Network(
        name="sage",
        title="the GraphSAGE of Hamilton et al., mean over the neighbors,",
        model=node_models.sage,
        optimizer=Optimizer(lr=0.01, weight_decay=5e-4),
        trainer=LAST_OF_200,
        papers={},
        dense=True,
    ),
    Network(
        name="gat",
        title="the GAT of Velickovic et al.",
        model=node_models.gat,
        optimizer=Optimizer(lr=0.005, weight_decay=5e-4),
        trainer=BEST_OF_200,
        papers={
            "cora": "83.0 % accuracy (Velickovic et al. 2018, table 2)",
            "citeseer": "72.5 % accuracy (Velickovic et al. 2018, table 2)",
        },
    ),
    Network(
        name="gatv2",
        title="the GATv2 of Brody et al.",
        model=node_models.gatv2,
        optimizer=Optimizer(lr=0.005, weight_decay=5e-4),
        trainer=BEST_OF_200,
        papers={},
    ),
    Network(
        name="appnp",
        title="the APPNP of Gasteiger et al.",
        model=node_models.appnp,
        optimizer=Optimizer(lr=0.01, weight_decay=5e-3, decayed="first"),
        trainer=BEST_OF_200,
        papers={"cora": "83.3 % accuracy (as quoted by Chen et al. 2020, table 2)"},
    ),
    Network(
        name="gcnii",
        title="the GCNII of Chen et al., 32 layers,",
        model=node_models.gcnii,
        optimizer=Optimizer(lr=0.01, weight_decay=0.01, decayed="inner", others_decay=5e-4),
        trainer=replace(BEST_OF_200, max_epochs=1500, patience=100),
        papers={
            "cora": "85.4 % accuracy (Chen et al. 2020, table 3; 85.5 % of 64 layers)",
            "citeseer": "73.4 % accuracy (Chen et al. 2020, table 2, 32 layers of 256 channels)",
        },
    ),
)


def _recipe(network: Network, papers: str, *, library: node_models.Library) -> Recipe:
    """A network on a set of papers."""
    found = PAPERS[papers]
    name, by = f"{papers}-{network.name}", ""
    sparse = True
    if library == "pyg":
        name, by = f"{name}-pyg", " out of PyG's layers"
        sparse = not network.dense
    sizes: dict[str, Any] = {"features": found.features, "classes": found.classes}
    return Recipe(
        name=name,
        summary=f"{network.title}{by} on {found.title}",
        task="nodes",
        parts=partial(_parts, found.load, sparse),
        sample=partial(_sample, found.load, sparse),
        protocol=PUBLIC_SPLIT.format(found.labelled),
        paper=network.papers.get(papers, NO_PAPER),
        model=network.model,
        sizes=sizes | {"library": library},
        optimizer=network.optimizer,
        trainer=network.trainer,
    )


def _parts(load: Callable[..., NodeData], sparse: bool) -> Parts:
    return node_parts(load(sparse=sparse))


def _sample(load: Callable[..., NodeData], sparse: bool) -> tuple[Signal]:
    return (load(sparse=sparse).signal,)


KARATE = Recipe(
    name="karate-gcn",
    summary="a GCN on Zachary's karate club, the sides of two members known",
    task="nodes",
    parts=lambda: node_parts(karate()),
    sample=lambda: (karate().signal,),
    protocol="learnt from the instructor and the president, tested on the other 32; weights "
    "of the last epoch",
    reached="95.83 ± 1.80 % accuracy",
    minutes=0.1,
    model=node_models.gcn,
    sizes={"features": 34, "classes": 2, "library": "geodl"},
    optimizer=KIPF,
    trainer=LAST_OF_200,
)

NODES = (
    *reached(
        _recipe(network, papers, library=library)
        for papers in PAPERS
        for network in NETWORKS
        for library in ("geodl", "pyg")
    ),
    KARATE,
)

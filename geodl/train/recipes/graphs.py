"""Recipes on whole graphs and on clouds of points."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from geodl.data import GraphData, mnist_superpixels, mutag, proteins, solids
from geodl.domain import Graph
from geodl.signal import Signal, select_members
from geodl.train.graph_examples import clouds_signal
from geodl.train.graph_models import edge_conv, gin, graph_net
from geodl.train.options import Optimizer, TrainerOptions
from geodl.train.parts import Parts, cloud_parts, fold_parts, graph_parts
from geodl.train.recipe import Recipe
from geodl.train.recipes.reached import reached

FOLDS = (
    "ten folds, every class in proportion: seed k tests on fold k, chooses the weights by the loss "
    "on the fold before it and learns from the other eight; nothing selected on the test fold"
)


def _fold(load: Callable[[], GraphData], seed: int = 0) -> Parts:
    return fold_parts(load(), seed)


def _sample(load: Callable[[], GraphData]) -> tuple[Signal]:
    """The first two graphs of a data set."""
    signal, _ = select_members(load().signal, torch.arange(2))
    return (signal,)


def _sample_of_regions() -> tuple[Signal]:
    """Three regions in a row, as those of a digit."""
    links = Graph([[0, 1, 1, 2], [1, 0, 2, 1]], 3)
    return (Signal(torch.zeros(1, 3, 3), links),)


MUTAG_GIN = Recipe(
    name="mutag-gin",
    summary="the GIN of Xu et al. on the molecules of MUTAG",
    task="graphs",
    parts=partial(_fold, mutag),
    folds=partial(_fold, mutag),
    sample=partial(_sample, mutag),
    protocol=FOLDS,
    paper="89.4 ± 5.6 % accuracy (Xu et al. 2019, table 1; DGL's example 89.4 %), where the epoch "
    "is chosen by the test folds",
    model=gin,
    sizes={"features": 7, "classes": 2, "library": "geodl"},
    optimizer=Optimizer(lr=0.01),
    trainer=TrainerOptions(100, weights="best"),
    batch_size=32,
)
PROTEINS_GIN = replace(
    MUTAG_GIN,
    name="proteins-gin",
    summary="the GIN of Xu et al. on PROTEINS",
    parts=partial(_fold, proteins),
    folds=partial(_fold, proteins),
    sample=partial(_sample, proteins),
    paper="76.2 ± 2.8 % accuracy (Xu et al. 2019, table 1; DGL's example 74.1 %), where the epoch "
    "is chosen by the test folds",
    sizes={"features": 3, "classes": 2, "library": "geodl"},
    optimizer=Optimizer(lr=1e-3),
    trainer=TrainerOptions(50, weights="best"),
    batch_size=128,
)


MUTAG_GRAPHNET = replace(
    MUTAG_GIN,
    name="mutag-graphnet",
    summary="a GraphNet on the molecules of MUTAG, the kinds of bonds read",
    paper="no published number under this protocol",
    model=graph_net,
    sizes={"features": 7, "edge_features": 4, "classes": 2, "library": "geodl"},
    optimizer=Optimizer(lr=3e-3),
)
SHAPES = Recipe(
    name="shapes-edgeconv",
    summary="a dynamic graph CNN on points of eight generated solids",
    task="graphs",
    parts=lambda: cloud_parts(solids()),
    sample=lambda: (clouds_signal(solids().test.points[:2]),),
    protocol="800 clouds of 128 points to learn from, 200 to validate, 400 to test, as many of "
    "each solid, stretched, turned in any direction and off by noise; weights of the last epoch, "
    "nothing selected on the test clouds",
    model=edge_conv,
    sizes={"classes": 8, "library": "geodl"},
    optimizer=Optimizer(lr=3e-3, schedule="one-cycle"),
    trainer=TrainerOptions(20),
    batch_size=32,
)


SUPERPIXELS = Recipe(
    name="mnist-superpixels",
    summary="a GIN of 100,000 parameters on superpixels of MNIST",
    task="graphs",
    parts=lambda: graph_parts(mnist_superpixels()),
    sample=_sample_of_regions,
    protocol="10,000 digits to learn from, 2,000 to validate, 10,000 to test, about 75 regions "
    "each, linked to the 8 nearest; weights of the last epoch, nothing selected on the test digits",
    paper="96.5 % accuracy of GIN, 90.7 % of GCN (Dwivedi et al. 2023, 55,000 digits learnt from)",
    model=gin,
    sizes={"features": 3, "classes": 10, "library": "geodl"},
    settings={"hidden": 110, "dropout": 0.0},
    optimizer=Optimizer(lr=3e-3, schedule="one-cycle"),
    trainer=TrainerOptions(20),
    batch_size=128,
)


def _by_pyg(recipe: Recipe, summary: str) -> Recipe:
    """The same recipe with PyG's layers."""
    sizes = dict(recipe.sizes) | {"library": "pyg"}
    return replace(recipe, name=f"{recipe.name}-pyg", summary=summary, sizes=sizes)


GRAPHS = reached(
    (
        MUTAG_GIN,
        _by_pyg(MUTAG_GIN, "PyG's GINConv in the GIN of Xu et al. on MUTAG"),
        PROTEINS_GIN,
        _by_pyg(PROTEINS_GIN, "PyG's GINConv in the GIN of Xu et al. on PROTEINS"),
        MUTAG_GRAPHNET,
        _by_pyg(MUTAG_GRAPHNET, "PyG's MetaLayer in the GraphNet on MUTAG"),
        SUPERPIXELS,
        _by_pyg(SUPERPIXELS, "PyG's GINConv in the GIN on superpixels of MNIST"),
        SHAPES,
        _by_pyg(SHAPES, "PyG's EdgeConv in the dynamic graph CNN on generated solids"),
    )
)

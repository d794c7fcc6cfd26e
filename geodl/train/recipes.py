"""The recipes: data, model, optimiser and protocol of a published number, as values that can be read and changed."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, final

import torch
from torch import nn

from geodl import models
from geodl.data import citeseer, cora, digits, karate, rotated_mnist
from geodl.errors import GeodlError, nearest
from geodl.signal import Signal
from geodl.train.parts import Parts, image_parts, node_parts
from geodl.train.peer import PygGCN


@final
@dataclass(frozen=True)
class Optimizer:
    """Adam (Kingma and Ba, 2015).

    Args:
        lr: learning rate, the highest one of a one-cycle schedule; null has the recipe search for it.
        weight_decay: strength of the L2 penalty.
        decayed: the layers that the penalty falls on.
        schedule: how the learning rate moves; one-cycle is that of Smith (2018), over all steps.
    """

    lr: float | None
    weight_decay: float = 0.0
    decayed: Literal["all", "first"] = "all"
    schedule: Literal["constant", "one-cycle"] = "constant"

    def __post_init__(self):
        if self.lr is not None and not (math.isfinite(self.lr) and self.lr > 0):
            raise GeodlError(f"optimizer.lr={self.lr}", do="give a learning rate above 0")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise GeodlError(f"optimizer.weight_decay={self.weight_decay}", do="give a weight decay of at least 0")

    def __str__(self) -> str:
        schedule = "" if self.schedule == "constant" else f" {self.schedule}"
        where = "all layers" if self.decayed == "all" else "the first layer"
        decay = f", weight decay {self.weight_decay:g} on {where}"
        return f"Adam{schedule}, lr {self.lr if self.lr is None else f'{self.lr:g}'}{decay if self.weight_decay else ''}"


@final
@dataclass(frozen=True)
class TrainerOptions:
    """How long and on what to train.

    Args:
        max_epochs: passes over the training examples.
        check_val_every_n_epoch: validate and keep a checkpoint every so many epochs.
        accelerator: auto takes a GPU where there is one.
        precision: bf16-mixed computes in bfloat16 where that is safe.
    """

    max_epochs: int = 20
    check_val_every_n_epoch: int = 1
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"

    def __post_init__(self):
        for name in ("max_epochs", "check_val_every_n_epoch"):
            if getattr(self, name) < 1:
                raise GeodlError(f"trainer.{name}={getattr(self, name)}", do="give at least 1")


@final
@dataclass(frozen=True)
class Options:
    """What may be changed of a recipe; what a run folder keeps as its resolved configuration.

    Args:
        model: the arguments of the recipe's model, all of them.
        optimizer: the optimiser.
        trainer: how long and on what to train.
        batch_size: examples a step; None for a graph, which is learnt from as a whole.
    """

    model: dict[str, Any]
    optimizer: Optimizer
    trainer: TrainerOptions
    batch_size: int | None = None

    def __post_init__(self):
        if self.batch_size is not None and self.batch_size < 1:
            raise GeodlError(f"batch_size={self.batch_size}", do="give at least 1")


@final
@dataclass(frozen=True)
class Recipe:
    """A number that can be cooked again.

    Args:
        name: what `geodl train` calls it.
        summary: what it is, in a line.
        kind: what is classified, nodes of a graph or images.
        parts: the examples to learn from, to validate on and to report on.
        protocol: which examples serve what, and how the reported weights are chosen.
        paper: the published number and where it stands.
        model: makes the network from keyword arguments.
        sample: a signal that the network takes.
        optimizer: the optimiser.
        trainer: how long and on what to train.
        batch_size: examples a step; None for a graph.
        search: learning rates, the best of which is taken where `optimizer.lr` is None.
        search_parts: the examples of the search: `val` chooses, the test examples are not touched.
    """

    name: str
    summary: str
    kind: Literal["nodes", "images"]
    parts: Callable[[], Parts] = field(repr=False)
    protocol: str
    paper: str
    model: Callable[..., nn.Module] = field(repr=False)
    sample: Callable[[], Signal] = field(repr=False)
    optimizer: Optimizer
    trainer: TrainerOptions
    batch_size: int | None = None
    search: tuple[float, ...] = ()
    search_parts: Callable[[], Parts] | None = field(default=None, repr=False)

    @property
    def options(self) -> Options:
        """The options as the recipe has them."""
        defaults = {name: p.default for name, p in inspect.signature(self.model).parameters.items()}
        return Options(defaults, self.optimizer, self.trainer, self.batch_size)

    def build(self, options: Options) -> nn.Module:
        """The network of the options, its parameters drawn from torch's generator.

        Raises:
            GeodlError: an argument that the model does not take.
        """
        known = self.options.model
        for name in options.model:
            if name not in known:
                raise GeodlError(f"model.{name} of {self.name}", do=nearest(name, known))
        return self.model(**options.model)


def recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        GeodlError: there is none of that name; the nearest one is suggested.

    >>> import geodl as g
    >>> g.train.recipe("cora-gcn").paper
    '81.5 % accuracy (Kipf and Welling 2017, table 2)'
    """
    if name not in RECIPES:
        raise GeodlError(f"the recipe {name!r}", "no recipe of that name", nearest(name, RECIPES))
    return RECIPES[name]


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


def p4cnn(*, channels: int = 10) -> nn.Module:
    """The p4 network of Cohen and Welling.

    Args:
        channels: channels of each layer, over each of the four rotations.
    """
    return models.p4cnn(channels=channels)


def z2cnn(*, channels: int = 20, dropout: float = 0.3) -> nn.Module:
    """The planar network of Cohen and Welling.

    Args:
        channels: channels of each layer.
        dropout: after the layers but the second, where the pooling is, and the last.
    """
    return models.z2cnn(channels=channels, dropout=dropout)


def digits_p4cnn(*, channels: int = 10) -> nn.Module:
    """The p4 network scaled down to 8x8 images.

    Args:
        channels: channels of each layer, over each of the four rotations.
    """
    return models.digits_p4cnn(channels=channels)


def _blank(size: int) -> Callable[[], Signal]:
    return lambda: Signal.image(torch.zeros(1, 1, size, size))


PUBLIC_SPLIT = (
    "public split, {} labelled nodes to learn from, 500 to validate, 1000 to test; row-normalised features; "
    "weights of the last epoch, nothing selected on the test nodes"
)
ROTATED = (
    "12,000 images to learn from (train and validation), 50,000 to test; no augmentation; "
    "weights of the last epoch, nothing selected on the test images"
)
KIPF = Optimizer(lr=0.01, weight_decay=5e-4, decayed="first")

RECIPES = {
    found.name: found
    for found in (
        Recipe(
            "cora-gcn", "the GCN of Kipf and Welling on Cora", "nodes", lambda: node_parts(cora(sparse=True)),
            PUBLIC_SPLIT.format(140), "81.5 % accuracy (Kipf and Welling 2017, table 2)",
            _gcn(1433, 7), lambda: cora(sparse=True).signal, KIPF, TrainerOptions(200, check_val_every_n_epoch=20),
        ),
        Recipe(
            "cora-gcn-pyg", "the same with PyG's GCNConv as the layer, on dense features", "nodes", lambda: node_parts(cora()),
            PUBLIC_SPLIT.format(140), "81.5 % accuracy (Kipf and Welling 2017, table 2)",
            _pyg_gcn(1433, 7), lambda: cora().signal, KIPF, TrainerOptions(200, check_val_every_n_epoch=20),
        ),
        Recipe(
            "citeseer-gcn", "the GCN of Kipf and Welling on CiteSeer", "nodes", lambda: node_parts(citeseer(sparse=True)),
            PUBLIC_SPLIT.format(120), "70.3 % accuracy (Kipf and Welling 2017, table 2)",
            _gcn(3703, 6), lambda: citeseer(sparse=True).signal, KIPF, TrainerOptions(200, check_val_every_n_epoch=20),
        ),
        Recipe(
            "rotated-mnist-p4cnn", "the P4CNN of Cohen and Welling on rotated MNIST", "images",
            lambda: image_parts(rotated_mnist(), merge=True),
            ROTATED, "2.28 % error on the official rotated MNIST (Cohen and Welling 2016, table 1)",
            p4cnn, _blank(28), Optimizer(lr=1e-2, schedule="one-cycle"), TrainerOptions(20), batch_size=128,
        ),
        Recipe(
            "rotated-mnist-z2cnn", "the planar baseline of Cohen and Welling on rotated MNIST", "images",
            lambda: image_parts(rotated_mnist(), merge=True),
            ROTATED, "5.03 % error on the official rotated MNIST (Cohen and Welling 2016, table 1)",
            z2cnn, _blank(28), Optimizer(lr=None, schedule="one-cycle"), TrainerOptions(50), batch_size=128,
            search=(1e-3, 3e-3, 1e-2), search_parts=lambda: image_parts(rotated_mnist()),
        ),
        Recipe(
            "digits-p4cnn", "a small P4CNN on the embedded 8x8 digits, learnt upright, tested turned", "images",
            lambda: image_parts(digits(), turned=True),
            "997 upright images to learn from, 300 to validate, 500 to test upright and turned by 90, 180 and 270 degrees; "
            "weights of the last epoch, nothing selected on the test images",
            "no published number under this protocol",
            digits_p4cnn, _blank(8), Optimizer(lr=1e-2, schedule="one-cycle"), TrainerOptions(20), batch_size=64,
        ),
        Recipe(
            "karate-gcn", "the GCN on Zachary's karate club, two members known", "nodes", lambda: node_parts(karate()),
            "learnt from the instructor and the president, tested on the other 32; weights of the last epoch",
            "no published number under this protocol",
            _gcn(34, 2), lambda: karate().signal, KIPF, TrainerOptions(200, check_val_every_n_epoch=20),
        ),
    )
}  # fmt: skip

"""What a recipe is."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, final

from torch import nn

from geodl.errors import GeodlError, nearest
from geodl.signal import Signal
from geodl.train.options import Optimizer, Options, TrainerOptions
from geodl.train.parts import Parts

Kind = Literal[
    "nodes",
    "images",
    "next token",
    "masked tokens",
    "tags",
    "sequences",
    "captions",
    "transduction",
    "translation",
]


@final
@dataclass(frozen=True)
class Recipe:
    """A number that can be cooked again.

    Args:
        name: what `geodl train` calls it.
        summary: what it is, in a line.
        kind: what is learnt; `geodl.train.tasks.TASKS` has a task for each.
        parts: the examples to learn from, to validate on and to report on.
        protocol: which examples serve what, and how the reported weights are chosen.
        paper: the published number and where it stands.
        model: makes the network from keyword arguments.
        sample: the signals that the network takes.
        optimizer: the optimiser.
        trainer: how long and on what to train.
        batch_size: examples a step; None for a graph.
        search: learning rates, the best of which is taken where `optimizer.lr` is None.
        search_parts: the examples of the search: `val` chooses, the test examples are not touched.
    """

    name: str
    summary: str
    kind: Kind
    parts: Callable[[], Parts] = field(repr=False)
    protocol: str
    paper: str
    model: Callable[..., nn.Module] = field(repr=False)
    sample: Callable[[], tuple[Signal, ...]] = field(repr=False)
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

"""What a recipe is."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, final

from torch import nn

from geodl.errors import GeodlError, nearest
from geodl.signal import Signal
from geodl.train.options import Optimizer, Options, TrainerOptions
from geodl.train.parts import Parts

TaskName = Literal[
    "nodes",
    "links",
    "graphs",
    "images",
    "objects",
    "waves",
    "next token",
    "masked tokens",
    "tags",
    "sequences",
    "captions",
    "transduction",
    "translation",
    "adversarial",
]
NO_PAPER = "no published number under this protocol"
NOT_YET = "no number yet"


@final
@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a number was made, so that it can be made again.

    Args:
        name: what `geodl train` calls it.
        summary: what is trained on what, a phrase.
        task: what is learnt; `geodl.train.tasks.TASKS` has a class for each.
        needs: recipes whose networks `parts` reads; each is run first, once, where the data folder
            has no run of it.
        parts: makes the examples to learn from, to validate on and to report on.
        folds: makes the examples of each seed where each has its own: seed k is tested on fold k;
            None where all seeds see what `parts` makes.
        protocol: which examples serve what, and how the reported weights are chosen.
        paper: the published number and where it stands.
        reached: the number that this recipe gives, as the README prints it.
        minutes: how long one seed takes on two CPU cores, about.
        model: makes the network from keyword arguments.
        sizes: the arguments of `model` that follow from the data; no options.
        settings: the arguments of `model` whose defaults are others here than in its signature.
        sample: makes the signals that the network takes.
        optimizer: the optimiser.
        trainer: how long and on what to train.
        batch_size: examples a step; None for one graph, which is one batch.
        search: learning rates, the best of which is taken where `optimizer.lr` is None.
        search_parts: makes the examples of the search: `val` chooses, no test example is touched.
    """

    name: str
    summary: str
    task: TaskName
    parts: Callable[[], Parts] = field(repr=False)
    protocol: str
    paper: str = NO_PAPER
    reached: str = ""
    minutes: float = 0.0
    model: Callable[..., nn.Module] = field(repr=False)
    sizes: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    sample: Callable[[], tuple[Signal, ...]] = field(repr=False)
    folds: Callable[[int], Parts] | None = field(default=None, repr=False)
    optimizer: Optimizer
    trainer: TrainerOptions
    batch_size: int | None = None
    search: tuple[float, ...] = ()
    search_parts: Callable[[], Parts] | None = field(default=None, repr=False)
    needs: tuple["Recipe", ...] = field(default=(), repr=False)

    @property
    def duration(self) -> str:
        """How long one seed takes, about, in words."""
        if not self.minutes:
            return ""
        if self.minutes < 1:
            return "under a minute"
        return f"about {self.minutes:.0f} minute{'s' * (self.minutes >= 1.5)}"

    @property
    def model_options(self) -> dict[str, Any]:
        """The arguments of the model that may be changed, with this recipe's values."""
        defaults = {}
        for name, parameter in inspect.signature(self.model).parameters.items():
            if name not in self.sizes:
                defaults[name] = self.settings.get(name, parameter.default)
        return defaults

    @property
    def options(self) -> Options:
        """The options as the recipe has them."""
        return Options(self.model_options, self.optimizer, self.trainer, self.batch_size)

    def build(self, options: Options) -> nn.Module:
        """The network of the options, its parameters drawn from torch's generator.

        Raises:
            GeodlError: if the model does not take an argument.
        """
        known = self.model_options
        for name in options.model:
            if name not in known:
                raise GeodlError(f"model.{name} of {self.name}", do=nearest(name, known))
        return self.model(**self.sizes, **options.model)

"""Examples on one device, and the batches that an epoch draws from them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, Self, final

import numpy as np
import torch
from torch import Generator, Tensor, distributed

from geodl.data import blocks, bucketed, padded, windows
from geodl.errors import GeodlError
from geodl.signal import Signal

EVALUATED = 200  # sequences at once, where nothing is learnt from them
UNCOUNTED = -100  # the label of a token that has none


class Examples(ABC):
    """Some examples, and how they are cut into batches."""

    @abstractmethod
    def to(self, device: torch.device) -> Self:
        """These examples on a device: a batch is then there too."""

    @abstractmethod
    def count(self, size: int | None) -> int:
        """How many batches an epoch has, of `size` examples; None takes as many as can be evaluated
        at once.
        """

    @abstractmethod
    def draw(self, size: int | None, generator: Generator | None) -> Iterator[Any]:
        """The batches of an epoch, in an order that follows from the generator; None evaluates,
        always the same.
        """

    def some(self, count: int) -> "Examples":
        """So many of these examples, evenly spread over their order: many data sets are sorted by
        class, and the first examples would be of one.

        Raises:
            GeodlError: if these are no examples of which some can be left out, or fewer.
        """
        asked = f"to learn from {count} examples"
        found = f"{type(self).__name__.lower()} that are learnt from as a whole"
        raise GeodlError(asked, found, "leave trainer.limit_examples out")


@final
@dataclass(frozen=True, eq=False)
class Nodes(Examples):
    """Nodes of one graph: the signal on all of it, which nodes are meant `[M]`, and their classes
    `[M]`; one batch.
    """

    signal: Signal
    nodes: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> "Nodes":
        """These nodes on a device; themselves where they are there.

        A copy of the graph would be another graph, for which everything is planned anew: Lightning
        moves a batch at every step.
        """
        if self.labels.device == device:
            return self
        return Nodes(self.signal.to(device), self.nodes.to(device), self.labels.to(device))

    def count(self, size: int | None) -> int:
        """One."""
        return 1

    def draw(self, size: int | None, generator: Generator | None) -> Iterator["Nodes"]:
        """These nodes."""
        yield self


@final
class Rows(Examples):
    """Tensors side by side: example m is row m of each; a batch has the tensors' rows, in an order
    of its own each epoch.

    Args:
        tensors: `[M, ...]` each.
        evaluated: examples in a batch of an evaluation.
    """

    def __init__(self, *tensors: Tensor, evaluated: int = 1000):
        self.tensors, self.evaluated = tensors, evaluated

    def to(self, device: torch.device) -> "Rows":
        """These rows on a device."""
        return Rows(*(tensor.to(device) for tensor in self.tensors), evaluated=self.evaluated)

    def count(self, size: int | None) -> int:
        """The last batch may have fewer rows."""
        return -(-len(self.tensors[0]) // (size or self.evaluated))

    def draw(self, size: int | None, generator: Generator | None) -> Iterator[tuple[Tensor, ...]]:
        """Each row once."""
        order = shuffled(len(self.tensors[0]), generator)
        for places in order.split(size or self.evaluated):
            # One indexing of each tensor: no example is touched alone, as a DataLoader would.
            yield tuple(tensor[places] for tensor in self.tensors)

    def some(self, count: int) -> "Rows":
        """Rows evenly spread over all."""
        known = len(self.tensors[0])
        if count > known:
            asked = f"to learn from {count} examples"
            raise GeodlError(asked, f"{known}", f"give trainer.limit_examples of at most {known}")
        places = torch.arange(count) * known // count
        return Rows(*(tensor[places] for tensor in self.tensors), evaluated=self.evaluated)


@final
@dataclass(frozen=True, eq=False)
class Blocks(Examples):
    """Random windows of a long text `[N]`, inputs and targets `[B, T]`: as nanoGPT's `get_batch`.

    Args:
        ids: the text.
        length: T.
        steps: batches in what is called an epoch, since a text of windows has none.
    """

    ids: Tensor
    length: int
    steps: int

    def to(self, device: torch.device) -> "Blocks":
        """This text on a device."""
        return Blocks(self.ids.to(device), self.length, self.steps)

    def count(self, size: int | None) -> int:
        """The steps of an epoch."""
        return self.steps

    def draw(
        self, size: int | None, generator: Generator | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Windows that begin anywhere."""
        for _ in range(self.steps):
            yield blocks(self.ids, self.length, batch=size or 1, generator=generator)


@final
class Masked(Examples):
    """Windows of a text with characters hidden: what stands there `[B, T]`, what is asked `[B, T]`,
    and where `[B, T]` (bool).

    Of all characters 15 % are asked; of these 80 % are hidden, 10 % replaced by a random one and 10
    % left (Devlin et al., "BERT", 2019). An evaluation hides the same ones each time.

    Args:
        windows: of the text.
        mask: the number that hides; those below it are characters.
    """

    def __init__(self, windows: Examples, mask: int):
        self.windows, self.mask = windows, mask

    def to(self, device: torch.device) -> "Masked":
        """This text on a device."""
        return Masked(self.windows.to(device), self.mask)

    def count(self, size: int | None) -> int:
        """As many as there are of windows."""
        return self.windows.count(size)

    def draw(
        self, size: int | None, generator: Generator | None
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Windows, each with its own holes."""
        chance = generator or torch.Generator().manual_seed(0)
        for truth, _ in self.windows.draw(size, generator):
            asked, kind = torch.rand((2, *truth.shape), generator=chance).to(truth.device)
            others = torch.randint(self.mask, truth.shape, generator=chance).to(truth.device)
            asked = asked < 0.15
            seen = torch.where(kind < 0.8, self.mask, torch.where(kind < 0.9, others, truth))
            yield torch.where(asked, seen, truth), truth, asked


@final
class Labelled(Examples):
    """Sequences of several lengths, with a label for each or for every token: batches of neighbors
    in length.

    A batch is numbers `[B, T]`, a mask `[B, T]` that is True where a token is, and labels `[B]` or
    `[B, T]`.

    Args:
        ids: `[T_m]` integers each.
        labels: `[M]`; or `[T_m]` each, `UNCOUNTED` where none counts.
    """

    def __init__(self, ids: Sequence[Tensor], labels: Sequence[Tensor] | Tensor):
        self.ids, self.labels = ids, labels

    def to(self, device: torch.device) -> "Labelled":
        """These sequences on a device."""
        if isinstance(self.labels, Tensor):
            return Labelled(_move(self.ids, device), self.labels.to(device))
        return Labelled(_move(self.ids, device), _move(self.labels, device))

    def count(self, size: int | None) -> int:
        """The last batch in length may have fewer."""
        return -(-len(self.ids) // (size or EVALUATED))

    def draw(
        self, size: int | None, generator: Generator | None
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Each sequence once."""
        chance = generator or torch.Generator().manual_seed(0)
        for places in bucketed([len(ids) for ids in self.ids], size or EVALUATED, generator=chance):
            ids, mask = padded([self.ids[place] for place in places], 0)
            if isinstance(self.labels, Tensor):
                yield ids, mask, self.labels[places]
            else:
                labels, _ = padded([self.labels[place] for place in places], UNCOUNTED)
                yield ids, mask, labels


class Pair(NamedTuple):
    """Sources `[B, S]` of one length; targets `[B, T]`, `<bos>` to `<eos>`, and where tokens are
    `[B, T]`; right answers.
    """

    sources: Tensor
    targets: Tensor
    mask: Tensor
    answers: list[tuple[str, ...]]


@final
class Pairs(Examples):
    """Sequences and what is to be made of them: batches whose sources are of one length, so that
    nothing of them is padding, and whose targets, where they are learnt, are neighbors in length.

    Args:
        sources: `[S_m]` integers each.
        targets: `[T_m]` integers each, the one to learn.
        answers: all that is right, in text, of each.
    """

    def __init__(
        self,
        sources: Sequence[Tensor],
        targets: Sequence[Tensor],
        answers: Sequence[tuple[str, ...]],
    ):
        self.sources = sources
        self.targets = targets
        self.answers = answers
        self.target_lengths = torch.tensor([len(ids) for ids in targets])
        source_lengths = torch.tensor([len(ids) for ids in sources])
        self.groups: list[Tensor] = []
        for length in source_lengths.unique():
            (group,) = (source_lengths == length).nonzero(as_tuple=True)
            self.groups.append(group)

    def to(self, device: torch.device) -> "Pairs":
        """These pairs on a device."""
        return Pairs(_move(self.sources, device), _move(self.targets, device), self.answers)

    def count(self, size: int | None) -> int:
        """The last batch of every length may have fewer."""
        return sum(-(-len(group) // (size or EVALUATED)) for group in self.groups)

    def draw(self, size: int | None, generator: Generator | None) -> Iterator[Pair]:
        """Each pair once."""
        mixed = [group[shuffled(len(group), generator)] for group in self.groups]
        if generator is not None:
            # Pairs of one target length stay in their new random order: the sort is stable.
            mixed = [group[self.target_lengths[group].argsort(stable=True)] for group in mixed]
        cut = [places for group in mixed for places in group.split(size or EVALUATED)]
        for k in shuffled(len(cut), generator).tolist():
            places = cut[k].tolist()
            targets, mask = padded([self.targets[place] for place in places], 0)
            sources = torch.stack([self.sources[place] for place in places])
            yield Pair(sources, targets, mask, [self.answers[place] for place in places])


@final
class Batches:
    """The batches of epoch after epoch, a function of the seed and the epoch alone: an interrupted
    run finds them again.

    Where several processes train together, each takes its own: of every P batches in a row,
    process k takes the k-th; those that are left at the end of an epoch are left out. All
    processes evaluate all batches, so that each knows the exact number.

    Args:
        examples: on the device where the model is.
        size: examples a batch; None takes what the examples say.
        seed: None evaluates: the same batches every time.
    """

    def __init__(self, examples: Examples, size: int | None = None, seed: int | None = None):
        self.examples = examples
        self.size = size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Name the epoch to be drawn, as torch's DistributedSampler wants it."""
        self.epoch = epoch

    def __len__(self) -> int:
        count = self.examples.count(self.size)
        return count if self.seed is None else count // process().size

    def __iter__(self) -> Iterator[Any]:
        # Drawn when the first batch is asked for: Lightning calls `iter` before the epoch is named.
        if self.seed is None:
            yield from self.examples.draw(self.size, None)
            return
        rank, size = process()
        generator = torch.Generator().manual_seed(mixed(self.seed, self.epoch))
        batches = self.examples.draw(self.size, generator)
        yield from islice(batches, rank, len(self) * size, size)


class Process(NamedTuple):
    """The number of this process among those that train together, and how many they are."""

    rank: int
    size: int


def process() -> Process:
    """This process; number 0 of 1 where nothing was distributed.

    >>> process()
    Process(rank=0, size=1)
    """
    if distributed.is_available() and distributed.is_initialized():
        return Process(distributed.get_rank(), distributed.get_world_size())
    return Process(0, 1)


def text_windows(ids: Tensor, length: int) -> Rows:
    """A whole text once, in windows side by side: what a loss is reported on."""
    return Rows(*windows(ids, length), evaluated=128)


def mixed(seed: int, epoch: int, rank: int = 0) -> int:
    """One seed for each epoch of each seed, and for each process that trains in it.

    >>> mixed(0, 1) == mixed(1, 0)
    False
    """
    entropy = [seed, epoch]
    if rank:
        entropy.append(rank)
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def shuffled(count: int, generator: Generator | None) -> Tensor:
    """The places 0 to count - 1 in random order, or in their own without a generator."""
    if generator is None:
        return torch.arange(count)
    return torch.randperm(count, generator=generator)


def _move(sequences: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    return [sequence.to(device) for sequence in sequences]

"""Examples cut for a recipe, on one device, and the batches drawn from them."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, TensorDataset

from geodl.data import ImageData, NodeData, Split, rotate
from geodl.signal import Signal

TEST_BATCH = 1000


class Nodes(NamedTuple):
    """Nodes of one graph: the signal on all of it, which nodes are meant `[M]`, and their classes `[M]`."""

    signal: Signal
    nodes: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> "Nodes":
        """These nodes on a device."""
        return Nodes(self.signal.to(device), self.nodes.to(device), self.labels.to(device))


class Parts(NamedTuple):
    """What one run sees of a data set.

    Attributes:
        data: the data set, as it is printed beside a number.
        classes: how many classes there are.
        train: the examples to learn from.
        val: the examples to validate on, None where there are none.
        tests: the examples to report on, by what is added to the name of the metric.
    """

    data: str
    classes: int
    train: Nodes | Split
    val: Nodes | Split | None
    tests: Mapping[str, Nodes | Split]


def node_parts(data: NodeData) -> Parts:
    """The three node sets of a graph; all see the whole graph."""

    def part(mask: Tensor) -> Nodes:
        nodes = mask.nonzero().squeeze(1)
        return Nodes(data.signal, nodes, data.labels[nodes])

    val = part(data.val) if data.val.any() else None
    return Parts(data.name, data.num_classes, part(data.train), val, {"": part(data.test)})


def image_parts(data: ImageData, *, merge: bool = False, turned: bool = False) -> Parts:
    """Images normalised by the mean and the deviation of those that are learnt from.

    Args:
        data: the images.
        merge: learn from the validation images too, and validate on none.
        turned: test a second time, on the test images turned by 90, 180 and 270 degrees.
    """
    train = Split(*map(torch.cat, zip(data.train, data.val, strict=True))) if merge else data.train
    deviation, mean = torch.std_mean(train.images)

    def normal(part: Split) -> Split:
        return Split((part.images - mean) / deviation, part.labels)

    tests = {"": data.test}
    if turned:
        angles = (90, 180, 270)
        images = torch.cat([rotate(data.test.images, angle) for angle in angles])
        tests["-rotated"] = Split(images, data.test.labels.repeat(len(angles)))
    cut = {name: normal(part) for name, part in tests.items()}
    return Parts(data.name, data.num_classes, normal(train), None if merge else normal(data.val), cut)


def batches(part: Nodes | Split, device: torch.device, size: int | None = None, seed: int | None = None) -> DataLoader:
    """The batches of an epoch, on a device already.

    Args:
        part: nodes, which are one batch; or images.
        device: where the model is.
        size: images a batch.
        seed: shuffle by it and by the number of the epoch; None keeps the order.
    """
    if isinstance(part, Nodes):
        return _loader([part.to(device)], None)
    tensors = TensorDataset(part.images.to(device), part.labels.to(device))
    # The sampler names whole batches, so that a batch is one indexing of a tensor and nothing is collated.
    return _loader(tensors, Order(len(part.labels), size or TEST_BATCH, seed))


def _loader(examples: Any, order: "Order | None") -> DataLoader:
    # With a generator of its own, a loader leaves torch's alone: a run that is continued makes one loader more.
    return DataLoader(examples, batch_size=None, sampler=order, collate_fn=_as_it_is, generator=torch.Generator())


@final
class Order(Sampler[Tensor]):
    """The examples of each batch, a function of the seed and the epoch alone: an interrupted run finds its order again.

    Args:
        count: how many examples there are.
        size: examples a batch; the last one may have fewer.
        seed: None keeps the examples in order.
    """

    def __init__(self, count: int, size: int, seed: int | None = None):
        self.count, self.size, self.seed, self.epoch = count, size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.count // self.size)

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.arange(self.count)
        if self.seed is not None:
            order = torch.randperm(self.count, generator=torch.Generator().manual_seed(mixed(self.seed, self.epoch)))
        yield from order.split(self.size)  # drawn when the first batch is asked for: Lightning names the epoch after `iter`


def mixed(seed: int, epoch: int) -> int:
    """One seed for each epoch of each seed.

    >>> mixed(0, 1) == mixed(1, 0)
    False
    """
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def _as_it_is(batch: object) -> object:
    return batch

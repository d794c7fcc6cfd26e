"""What one run sees of a data set: graphs, clouds and images cut for a recipe."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from geodl.data import (
    Augmentation,
    CloudData,
    Clouds,
    GraphData,
    GraphLoader,
    GraphSplits,
    ImageData,
    LinkData,
    NodeData,
    NodePairs,
    Split,
    Vocabulary,
    WaveData,
    folds,
    rotate,
)
from geodl.errors import GeodlError
from geodl.train.augmented import Augmented
from geodl.train.examples import Examples, Nodes, Rows
from geodl.train.graph_examples import CloudRows, Graphs, Links

NO_VOCABULARIES: Mapping[str, Vocabulary] = {}


class Parts(NamedTuple):
    """What one run sees of a data set.

    Attributes:
        data: the data set, as it is printed beside a number.
        train: the examples to learn from.
        val: the examples to validate on, None where there are none.
        tests: the examples to report on, by what is added to the name of the metric; none where
            `val` is reported.
        vocabularies: how tokens are read: "source" what comes in, "target" what goes out.
        fewer: makes the parts with so many training examples, where more depends on these than the
            examples themselves; None where they are left out of `train` alone.
    """

    data: str
    train: Examples
    val: Examples | None
    tests: Mapping[str, Examples]
    vocabularies: Mapping[str, Vocabulary] = NO_VOCABULARIES
    fewer: Callable[[int], "Parts"] | None = None


def limited(parts: Parts, count: int | None) -> Parts:
    """The same, but for the training examples: so many, evenly spread; None learns from all. What
    is computed of training examples, as the mean of images, is that of those that are left.

    Raises:
        GeodlError: if there are fewer, or examples that cannot be left out.
    """
    if count is None:
        return parts
    if parts.fewer is not None:
        return parts.fewer(count)
    return parts._replace(train=parts.train.some(count))


def node_parts(data: NodeData) -> Parts:
    """The three node sets of a graph; all see the whole graph.

    Raises:
        GeodlError: no test nodes: there would be nothing to report.
    """
    if not data.test.any():
        found = "a mask that chooses nobody"
        raise GeodlError(f"the test nodes of {data.name}", found, "choose the nodes to report on")

    def part(mask: Tensor) -> Nodes:
        nodes = mask.nonzero().squeeze(1)
        return Nodes(data.signal, nodes, data.labels[nodes])

    val = None
    if data.val.any():
        val = part(data.val)
    return Parts(data.name, part(data.train), val, {"": part(data.test)})


def link_parts(data: LinkData) -> Parts:
    """The links that are left, with as many unlinked pairs drawn anew each epoch; hidden links and
    unlinked pairs to validate and to test on.
    """
    none = data.train.new_empty(2, 0)
    train = Links(data.signal, NodePairs.of(data.train, none), apart=data.train.shape[1])
    val = Links(data.signal, data.val)
    return Parts(data.name, train, val, {"": Links(data.signal, data.test)})


def fold_parts(data: GraphData, seed: int, *, count: int = 10) -> Parts:
    """Graphs in folds, every class in proportion: seed k tests on fold k, validates on the fold
    before it and learns from all others. A seed beyond the last fold has folds of its own.
    """
    fold = folds(data.labels, count, seed=seed // count)
    store = GraphLoader(data.signal, data.labels)

    def part(chosen: Tensor) -> Graphs:
        return Graphs(store, chosen.nonzero().squeeze(1))

    is_test = fold == seed % count
    is_val = fold == (seed - 1) % count
    train = part(~is_test & ~is_val)
    return Parts(data.name, train, part(is_val), {"": part(is_test)})


def graph_parts(data: GraphSplits) -> Parts:
    """Graphs in three parts, as they are."""

    def part(graphs: GraphData) -> Graphs:
        return Graphs(GraphLoader(graphs.signal, graphs.labels), torch.arange(len(graphs.labels)))

    return Parts(data.name, part(data.train), part(data.val), {"": part(data.test)})


def cloud_parts(data: CloudData) -> Parts:
    """Clouds of points as they are."""

    def part(clouds: Clouds) -> CloudRows:
        return CloudRows(clouds.points, clouds.labels)

    return Parts(data.name, part(data.train), part(data.val), {"": part(data.test)})


def image_parts(
    data: ImageData,
    *,
    merge: bool = False,
    turned: bool = False,
    learnt_too: bool = False,
    augmentation: Augmentation | None = None,
    count: int | None = None,
) -> Parts:
    """Images normalised by the mean and the deviation of those that are learnt from.

    Args:
        data: the images.
        merge: learn from the validation images too, and validate on none.
        turned: test a second time, on the test images turned by 90, 180 and 270 degrees.
        learnt_too: report on the images that were learnt from, too, as they are.
        augmentation: changes images at random where they are learnt from; None leaves them.
        count: learn from so many images, evenly spread; None learns from all.
    """
    train = data.train
    if merge:
        images = torch.cat([data.train.images, data.val.images])
        train = Split(images, torch.cat([data.train.labels, data.val.labels]))
    if count is not None:
        train = Split(*Rows(*train).some(count).tensors)
    normal = normalizer(train.images)

    def part(split: Split) -> Rows:
        return Rows(normal(split.images), split.labels)

    tests = {"": data.test}
    if turned:
        angles = (90, 180, 270)
        images = torch.cat([rotate(data.test.images, angle) for angle in angles])
        tests["-rotated"] = Split(images, data.test.labels.repeat(len(angles)))
    if learnt_too:
        tests["-learnt"] = train
    val = None if merge else part(data.val)
    reported = {suffix: part(split) for suffix, split in tests.items()}
    learnt: Examples = part(train)
    if augmentation is not None:
        learnt = Augmented(Rows(*train), augmentation, normal)

    def fewer(count: int) -> Parts:
        return image_parts(
            data,
            merge=merge,
            turned=turned,
            learnt_too=learnt_too,
            augmentation=augmentation,
            count=count,
        )

    return Parts(data.name, learnt, val, reported, fewer=fewer)


def wave_parts(data: WaveData) -> Parts:
    """Waves in three parts, as they are."""
    train, val, test = (Rows(*part, evaluated=50) for part in (data.train, data.val, data.test))
    return Parts(data.name, train, val, {"": test})


def normalizer(images: Tensor) -> Callable[[Tensor], Tensor]:
    """The function that takes a mean of 0 and a deviation of 1 from these images to others."""
    deviation, mean = torch.std_mean(images)
    return lambda others: (others - mean) / deviation

"""What the loaders return: records of tensors, nothing else.

Records and what stands in them have `to(device)`: Lightning moves a batch by that method, and
refuses to copy a frozen dataclass without it.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple, final

import torch
from torch import Tensor

from geodl.data.arguments import check_classes, check_mask
from geodl.errors import GeodlError
from geodl.signal import Signal


@final
@dataclass(frozen=True, eq=False)
class NodeData:
    """One graph whose nodes carry features and a class.

    Args:
        name: the data set, as it is printed beside a number.
        signal: the features on their graph, `x` of shape `[1, N, C]`, or sparse CSR `[N, C]`.
        labels: `[N]` int64, the class of each node.
        train: `[N]` bool, the nodes whose labels may be learnt from; `val` and `test` likewise.
        num_classes: how many classes there are.

    Raises:
        GeodlError: labels outside the classes; masks that are no booleans, one for each node; a
            mask of training nodes that chooses nobody.
    """

    name: str
    signal: Signal = field(repr=False)
    labels: Tensor = field(repr=False)
    train: Tensor = field(repr=False)
    val: Tensor = field(repr=False)
    test: Tensor = field(repr=False)
    num_classes: int

    def __post_init__(self):
        count = self.signal.domain.num_nodes
        check_classes(f"the nodes of {self.name}", self.labels, self.num_classes)
        _check_count(f"the nodes of {self.name}", self.labels, count)
        learnt = "choose the nodes to learn from"
        check_mask(f"the training nodes of {self.name}", self.train, count, do=learnt)
        check_mask(f"the validation nodes of {self.name}", self.val, count)
        check_mask(f"the test nodes of {self.name}", self.test, count)

    def to(self, device: torch.device | str) -> "NodeData":
        """This data set with all its tensors on a device.

        >>> import geodl as g
        >>> g.data.karate().to("cpu").labels.device
        device(type='cpu')
        """
        return replace(
            self,
            signal=self.signal.to(device),
            labels=self.labels.to(device),
            train=self.train.to(device),
            val=self.val.to(device),
            test=self.test.to(device),
        )


@final
@dataclass(frozen=True, eq=False)
class GraphData:
    """Many small graphs, each of a class.

    Args:
        name: the data set, as it is printed beside a number.
        signal: the features of all graphs, side by side on a flat Batch, `x` of shape
            `[1, N, C]`; the state of their edges beside, where they have one.
        labels: `[D]` int64, the class of each graph.
        num_classes: how many classes there are.

    Raises:
        GeodlError: labels outside the classes, or of another number than graphs.
    """

    name: str
    signal: Signal = field(repr=False)
    labels: Tensor = field(repr=False)
    num_classes: int

    def __post_init__(self):
        asked = f"the graphs of {self.name}"
        check_classes(asked, self.labels, self.num_classes)
        _check_count(asked, self.labels, self.signal.domain.num_members)

    def to(self, device: torch.device | str) -> "GraphData":
        """This data set with all its tensors on a device."""
        return replace(self, signal=self.signal.to(device), labels=self.labels.to(device))


class GraphSplits(NamedTuple):
    """Sets of graphs in three parts: what it is called, the part to learn from, the part to choose
    by, and the part to report.
    """

    name: str
    train: GraphData
    val: GraphData
    test: GraphData

    def to(self, device: torch.device | str) -> "GraphSplits":
        """These graphs and labels on a device."""
        train, val, test = (part.to(device) for part in (self.train, self.val, self.test))
        return GraphSplits(self.name, train, val, test)


class NodePairs(NamedTuple):
    """Pairs of nodes `[2, M]`, and whether a link joins each, `[M]`: 1 or 0, int64."""

    pairs: Tensor
    labels: Tensor

    @staticmethod
    def of(joined: Tensor, apart: Tensor) -> "NodePairs":
        """Pairs that a link joins and pairs that none does, `[2, M]` each, one after the other.

        >>> NodePairs.of(torch.tensor([[0], [1]]), torch.tensor([[0], [2]])).labels
        tensor([1, 0])
        """
        labels = torch.zeros(joined.shape[1] + apart.shape[1], dtype=torch.long)
        labels[: joined.shape[1]] = 1
        return NodePairs(torch.cat([joined, apart], dim=1), labels.to(joined.device))

    def to(self, device: torch.device | str) -> "NodePairs":
        """These pairs and labels on a device."""
        return NodePairs(self.pairs.to(device), self.labels.to(device))


@final
@dataclass(frozen=True, eq=False)
class LinkData:
    """One graph, some links of which are hidden, to be predicted.

    Args:
        name: the data set, as it is printed beside a number.
        signal: the features on the graph of the links that are left.
        train: `[2, M]` the pairs of nodes that these join, each once.
        val: pairs to choose by, half of which hidden links join; `test` those to report on.
    """

    name: str
    signal: Signal = field(repr=False)
    train: Tensor = field(repr=False)
    val: NodePairs = field(repr=False)
    test: NodePairs = field(repr=False)

    def to(self, device: torch.device | str) -> "LinkData":
        """This data set with all its tensors on a device."""
        return replace(
            self,
            signal=self.signal.to(device),
            train=self.train.to(device),
            val=self.val.to(device),
            test=self.test.to(device),
        )


class Split(NamedTuple):
    """Images `[M, C, H, W]`, or `[M, C, D, H, W]` of voxels, float32 in [0, 1], and their labels
    `[M]`, int64.
    """

    images: Tensor
    labels: Tensor

    def to(self, device: torch.device | str) -> "Split":
        """These images and labels on a device."""
        return Split(self.images.to(device), self.labels.to(device))


@final
@dataclass(frozen=True, eq=False)
class ImageData:
    """Images and their classes in three parts that share no image.

    Args:
        name: the data set, as it is printed beside a number.
        train: the part to learn from; `val` is the part to choose by, and `test` the part to
            report.
        num_classes: how many classes there are.
    """

    name: str
    train: Split = field(repr=False)
    val: Split = field(repr=False)
    test: Split = field(repr=False)
    num_classes: int

    def to(self, device: torch.device | str) -> "ImageData":
        """This data set with all its tensors on a device."""
        train, val, test = (part.to(device) for part in (self.train, self.val, self.test))
        return replace(self, train=train, val=val, test=test)


class Clouds(NamedTuple):
    """Clouds of points `[M, P, 3]`, float32, and their labels `[M]`, int64."""

    points: Tensor
    labels: Tensor

    def to(self, device: torch.device | str) -> "Clouds":
        """These clouds and labels on a device."""
        return Clouds(self.points.to(device), self.labels.to(device))


@final
@dataclass(frozen=True, eq=False)
class CloudData:
    """Clouds of points and their classes in three parts.

    Args:
        name: the data set, as it is printed beside a number.
        train: the part to learn from; `val` is the part to choose by, and `test` the part to
            report.
        classes: the names of the classes, by number.
    """

    name: str
    train: Clouds = field(repr=False)
    val: Clouds = field(repr=False)
    test: Clouds = field(repr=False)
    classes: tuple[str, ...]

    def to(self, device: torch.device | str) -> "CloudData":
        """This data set with all its tensors on a device."""
        train, val, test = (part.to(device) for part in (self.train, self.val, self.test))
        return replace(self, train=train, val=val, test=test)


def _check_count(asked: str, labels: Tensor, count: int) -> None:
    if len(labels) != count:
        raise GeodlError(asked, f"{len(labels)} labels", f"give {count}, one for each")

"""What the loaders return: records of tensors, nothing else.

Records and what stands in them have `to(device)`: Lightning moves a batch by that method, and
refuses to copy a frozen dataclass without it.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple, final

import torch
from torch import Tensor

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
    """

    name: str
    signal: Signal = field(repr=False)
    labels: Tensor = field(repr=False)
    train: Tensor = field(repr=False)
    val: Tensor = field(repr=False)
    test: Tensor = field(repr=False)
    num_classes: int

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
    """

    name: str
    signal: Signal = field(repr=False)
    labels: Tensor = field(repr=False)
    num_classes: int

    def to(self, device: torch.device | str) -> "GraphData":
        """This data set with all its tensors on a device."""
        return replace(self, signal=self.signal.to(device), labels=self.labels.to(device))


class Split(NamedTuple):
    """Images `[M, 1, H, W]`, float32 in [0, 1], and their labels `[M]`, int64."""

    images: Tensor
    labels: Tensor

    def to(self, device: torch.device | str) -> "Split":
        """These images and labels on a device."""
        return Split(self.images.to(device), self.labels.to(device))


@final
@dataclass(frozen=True, eq=False)
class ImageData:
    """Grey images and their classes in three parts that share no image.

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

"""What the loaders return: records of tensors, nothing else."""

from dataclasses import dataclass, field
from typing import NamedTuple, final

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


class Split(NamedTuple):
    """Images `[M, 1, H, W]`, float32 in [0, 1], and their labels `[M]`, int64."""

    images: Tensor
    labels: Tensor


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

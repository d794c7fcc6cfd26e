"""Images as graphs of superpixels: regions of pixels that are near in place and in color."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from geodl.data.arguments import check_count, describe
from geodl.data.base import GraphData, GraphSplits, Split
from geodl.data.images import mnist
from geodl.domain import Batch, Complete, Graph
from geodl.domain.check import check_finite
from geodl.errors import GeodlError, is_real
from geodl.neighborhood import relation
from geodl.neighborhood.relation import Relation
from geodl.signal import Signal, knn

SIZES = (10_000, 2_000, 10_000)


class Regions(NamedTuple):
    """The regions of an image.

    Attributes:
        relation: from pixels to regions, a rule: each region receives from its pixels. A region's
            mean is `Pool(relation, "mean")`; `Propagate(relation.reverse())` gives each pixel what
            its region has.
        graph: the regions, linked both ways where they touch.
    """

    relation: Relation
    graph: Graph

    def to(self, device: torch.device | str) -> "Regions":
        """These regions on a device."""
        return Regions(self.relation.to(device), self.graph.to(device))


def superpixels(image: Tensor, count: int = 75, *, compactness: float = 10.0) -> Regions:
    """The regions that SLIC finds in an image (Achanta et al., "SLIC Superpixels Compared to
    State-of-the-Art Superpixel Methods", 2012).

    Args:
        image: `[C, H, W]`, floating point; of three channels it is read as RGB.
        count: about how many regions.
        compactness: how much more place counts than color; 0.25 is usual for grey digits.

    Raises:
        GeodlError: if the image is not `[C, H, W]` of finite floating point numbers, the count not
            a positive integer, or the compactness not a positive number; if scikit-image is not
            installed.

    >>> import geodl as g
    >>> image = torch.zeros(3, 8, 8)
    >>> regions = g.data.superpixels(image, 4)  # doctest: +SKIP
    >>> pixels = Signal.image(image[None])  # doctest: +SKIP
    >>> means = g.Pool(regions.relation, "mean")(pixels)  # doctest: +SKIP
    >>> g.Propagate(regions.relation.reverse())(means).x.shape  # doctest: +SKIP
    torch.Size([1, 64, 3])
    """
    asked = "superpixels(image)"
    if not isinstance(image, Tensor) or image.dim() != 3 or not image.is_floating_point():
        raise GeodlError(asked, describe(image), "give one image [C, H, W] of real numbers")
    check_finite(asked, image.detach(), "which are near no color")
    count = check_count(f"{count!r} superpixels", count)
    if not is_real(compactness) or not compactness > 0:
        raise GeodlError(f"superpixels(compactness={compactness!r})", do="give a number above 0")
    numbers = torch.from_numpy(segment(image.detach().cpu().numpy(), count, compactness))
    numbers = numbers.to(image.device)
    pixels = torch.arange(numbers.numel(), device=image.device)
    regions = int(numbers.max()) + 1
    ends = torch.stack((pixels, numbers.flatten()))
    rule = relation(ends, senders=len(pixels), receivers=regions)
    return Regions(rule, Graph(_touching(numbers), regions))


def mnist_superpixels(count: int = 75, *, neighbors: int = 8) -> GraphSplits:
    """MNIST as graphs of superpixels: 10,000 digits to learn from, 2,000 to validate, 10,000 to
    test, the first of each part of `mnist`.

    A node is a region of SLIC (compactness 0.25) and has its mean grey and its centre, the height
    and the width of the image being 1; it receives from the regions whose centres are nearest.
    Regions are found at each call, in a minute or two.

    Args:
        count: about how many regions an image has.
        neighbors: from how many regions each receives.

    Raises:
        GeodlError: as :func:`geodl.data.mnist` and :func:`superpixels`.

    Source: Monti et al., "Geometric Deep Learning on Graphs and Manifolds Using Mixture Model
    CNNs", 2017; Dwivedi et al., "Benchmarking Graph Neural Networks", 2023.

    >>> import geodl as g
    >>> g.data.mnist_superpixels().train.signal.shape[2]  # doctest: +SKIP
    3
    """
    count = check_count(f"{count!r} superpixels", count)
    neighbors = check_count(f"{neighbors!r} neighbors", neighbors)
    digits = mnist()
    parts = []
    for split, size in zip((digits.train, digits.val, digits.test), SIZES, strict=True):
        parts.append(region_graphs(split, size, count, neighbors))
    return GraphSplits("mnist-superpixels", *parts)


def region_graphs(split: Split, size: int, count: int, neighbors: int) -> GraphData:
    """The first images of a part as graphs of their regions.

    Args:
        split: grey images and their classes.
        size: how many images.
        count: about how many regions an image has.
        neighbors: from how many regions each receives.
    """
    images = split.images[:size]
    numbers = np.stack([segment(image.numpy(), count, 0.25) for image in images])
    signal = _means(images[:, 0], torch.from_numpy(numbers), neighbors)
    return GraphData("mnist-superpixels", signal, split.labels[:size], 10)


def segment(image: np.ndarray, count: int, compactness: float) -> np.ndarray:
    """The region of each pixel `[H, W]`, numbered from 0 without gaps.

    Args:
        image: `[C, H, W]`.
        count: about how many regions.
        compactness: of SLIC.
    """
    try:
        from skimage.segmentation import slic
    except ImportError as error:
        missing = "scikit-image is not installed"
        raise GeodlError("superpixels", missing, 'pip install "geodl[data]"') from error
    options: dict[str, Any] = {"n_segments": count, "compactness": compactness, "start_label": 0}
    found = slic(np.moveaxis(image, 0, -1), channel_axis=-1, **options)
    _, numbers = np.unique(found, return_inverse=True)
    return numbers.reshape(found.shape).astype(np.int64)


def _means(images: Tensor, numbers: Tensor, neighbors: int) -> Signal:
    """The mean grey and the centre of each region: `[1, N, 3]` on as many graphs as images.

    Args:
        images: `[M, H, W]`.
        numbers: `[M, H, W]`, the region of each pixel, in each image from 0 on.
        neighbors: from how many regions each receives.
    """
    count, height, width = images.shape
    regions = numbers.amax((1, 2)) + 1
    starts = torch.nn.functional.pad(regions.cumsum(0), (1, 0))
    node = (numbers + starts[:-1, None, None]).flatten()
    row = (torch.arange(height) + 0.5) / height
    column = (torch.arange(width) + 0.5) / width
    place = torch.stack(torch.meshgrid(row, column, indexing="ij")).expand(count, -1, -1, -1)
    values = torch.cat([images[:, None], place], dim=1).movedim(1, -1).flatten(0, 2)
    total = torch.zeros(int(starts[-1]), 3).index_add_(0, node, values)
    x = total / node.bincount()[:, None]
    whole = Batch([Complete(size) for size in regions.tolist()])
    nearest = knn(Signal(x[None, :, 1:], whole), neighbors)
    return Signal(x[None], Batch.from_union(Graph(nearest.edge_index, len(x)), starts))


def _touching(numbers: Tensor) -> Tensor:
    """The links `[2, E]`, both ways and each once, between regions of pixels side by side."""
    aside = torch.stack((numbers[:, :-1].flatten(), numbers[:, 1:].flatten()))
    below = torch.stack((numbers[:-1].flatten(), numbers[1:].flatten()))
    pairs = torch.cat([aside, below], dim=1)
    pairs = pairs[:, pairs[0] != pairs[1]]
    return torch.cat([pairs, pairs.flip(0)], dim=1).unique(dim=1)

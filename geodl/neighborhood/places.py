"""Where the windows of a lattice's receivers look."""

from collections.abc import Sequence

import torch
from torch import Tensor

from geodl.domain import Domain, coordinates, ravel
from geodl.neighborhood.exactness import AxisWindow


def sending_points(windows: Sequence[AxisWindow], source: Domain, target: Domain) -> Tensor:
    """The sending point at each place of each receiving point's window: `[M, K]`, -1 outside of the
    lattice.

    Args:
        windows: the numbers of each axis' window.
        source: where the senders live.
        target: where the receivers live.
    """
    assert source.lattice is not None and target.lattice is not None
    sizes = tuple(window.size for window in windows)
    dilation = torch.tensor([window.dilation for window in windows])
    before = torch.tensor([window.padding[0] for window in windows])
    stride = torch.tensor([window.stride for window in windows])
    offsets = coordinates(sizes) * dilation - before
    points = (coordinates(target.lattice) * stride)[:, None] + offsets
    lengths = torch.tensor(source.lattice)
    points = torch.where(torch.tensor(source.periodic), points % lengths, points)
    return ravel(points, source.lattice)

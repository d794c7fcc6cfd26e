"""Pooling by powers: the p-norm of what a window reads."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.converters import converts
from geodl.interop.pooling import pool_window
from geodl.interop.whole.on_tensors import Apply, Slot
from geodl.layer import Pointwise, Pool, Sequential

POWER_POOLS = (nn.LPPool1d, nn.LPPool2d, nn.LPPool3d)


def power_pool(
    axes: int, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Sequential:
    """`(sum of x^p over the window)^(1/p)`, as `nn.LPPool2d`; a negative sum counts as torch has
    it, by its size.

    Raises:
        GeodlError: `ceil_mode`, with which torch fills windows up that lie beyond the border.
    """
    if ceil_mode:
        raise GeodlError("LP pooling", "ceil_mode=True", "use ceil_mode=False")
    rule = pool_window(axes, kernel_size, stride, 0, 1, False)
    power = Pointwise(Apply(torch.pow, (Slot(0), norm_type), {}))
    root = Pointwise(Apply(root_of, (Slot(0), norm_type, math.prod(rule.size)), {}))
    return Sequential(power, Pool(rule, "mean"), root)


def root_of(mean: Tensor, norm_type: float, count: int) -> Tensor:
    """What torch makes of the mean of powers."""
    return (torch.sign(mean) * F.relu(torch.abs(mean)) * count).pow(1.0 / norm_type)


@converts(*POWER_POOLS, reads="planes")
def from_power_pool(module: Any, on: Domain | None) -> Sequential:
    """`nn.LPPool1d/2d/3d` as powers, a mean and roots."""
    if on is not None:
        found = "powers, a pooling and roots, which take Signals"
        raise GeodlError(f"from_torch with on={on}", found, "convert without on=")
    axes = POWER_POOLS.index(type(module)) + 1
    pool = power_pool(axes, module.norm_type, module.kernel_size, module.stride, module.ceil_mode)
    return pool.train(module.training)


for _axes, _function in ((1, F.lp_pool1d), (2, F.lp_pool2d), (3, F.lp_pool3d)):

    def _from_function(*args: Any, axes: int = _axes, **kwargs: Any) -> Sequential:
        return power_pool(axes, *args, **kwargs)

    converts(_function, reads="planes")(_from_function)

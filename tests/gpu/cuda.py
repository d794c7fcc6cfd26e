"""What the tests on CUDA share: when they run, how near they must come, how things get there."""

import copy
from typing import TypeVar

import pytest
import torch
from torch import nn

import geodl as g

Module = TypeVar("Module", bound=nn.Module)

DEVICE = "cuda"
NEEDS_CUDA = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here"),
]
# Sums in another order, and exponentials as the hardware has them; autocast rounds at every layer.
BOUNDS = {torch.float64: 1e-10, torch.float32: 5e-5}
HALF_BOUNDS = {torch.bfloat16: 0.1, torch.float16: 0.03}


def moved(module: Module, dtype: torch.dtype) -> Module:
    """A copy of a module on the device, in a dtype."""
    return copy.deepcopy(module).to(DEVICE, dtype)


def sent(signals: tuple[g.Signal, ...], dtype: torch.dtype) -> tuple[g.Signal, ...]:
    """Signals on the device, in a dtype."""
    return tuple(s.to(dtype).to(DEVICE) for s in signals)

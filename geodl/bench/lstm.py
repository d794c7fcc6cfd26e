"""Recurrence along a chain against `nn.LSTM`: forward and every gradient."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from geodl.bench.harness import Case, Side, leaf, step
from geodl.bench.meter import CPU
from geodl.domain import Chain
from geodl.interop import to_torch
from geodl.layer import Recurrent


class Sizes(NamedTuple):
    """Sequences, their length, channels in, channels of the state."""

    batch: int = 32
    length: int = 128
    channels: int = 64
    hidden: int = 128


USUAL = Sizes()


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """One layer in one direction."""
    layer = Recurrent(sizes.channels, sizes.hidden, on=Chain(sizes.length)).to(device)
    twin: Any = to_torch(layer)
    # On a GPU torch's own layer keeps its weights in one block, which cuDNN wants.
    twin.flatten_parameters()
    x = leaf(sizes.batch, sizes.length, sizes.channels, device=device)
    up = torch.randn(sizes.batch, sizes.length, sizes.hidden, device=device)
    ours = step(lambda: layer(x), [x, *layer.parameters()], up)
    theirs = step(lambda: twin(x)[0], [x, *twin.parameters()], up)
    name = f"LSTM {sizes.channels} -> {sizes.hidden}, {sizes.batch} x {sizes.length}"
    yield Case(name, "nn.LSTM", Side(ours, ours), Side(theirs, theirs), 1.05)

"""Row 08, positions: a step along the chain rotates them, and scores of what they rotate depend on
the distance alone.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from geodl import Chain, Signal, SinusoidalPositions
from geodl.layer.position import places, rotate
from geodl.verify.base import Row, Setting, count_edges, difference, normal, row

BOUND = 1e-12
LENGTH, CHANNELS = 24, 16
SHIFTS = (1, 5, 64, 1000)


def rotation(k: int) -> Tensor:
    """R(k): pair i of channels rotated by `k * 10000^(-2i/C)`, written out as a matrix
    `[C, C]`.
    """
    blocks = []
    for i in range(CHANNELS // 2):
        angle = k / 10000 ** (2 * i / CHANNELS)
        cos, sin = math.cos(angle), math.sin(angle)
        blocks.append(torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64))
    return torch.block_diag(*blocks)


def sinusoidal() -> Iterator[Row]:
    """The positions k nodes later are one rotation of the positions here, the same for every
    node.
    """
    layer = SinusoidalPositions(CHANNELS)
    s = Signal(torch.zeros(1, LENGTH, CHANNELS, dtype=torch.float64), Chain(LENGTH))
    here = layer(s).x
    differences = []
    for k in SHIFTS:
        later, _ = layer.step(s, k)
        differences.append(difference(later.x, here @ rotation(k).T, []))
    claim = f"08 sinusoidal positions: PE(p+k) = R(k) PE(p), k up to {SHIFTS[-1]}"
    yield row(claim, count_edges(layer, s), differences, BOUND)


def rotary() -> Iterator[Row]:
    """Scores of rotated queries and keys depend on how far apart two nodes are, and not on where
    they are.
    """
    draw, here = normal(80), places(Chain(LENGTH))
    query = draw(2, LENGTH, 3, CHANNELS).requires_grad_()
    key = draw(2, LENGTH, 3, CHANNELS).requires_grad_()
    leaves = [query, key]

    def scores(at: Tensor) -> Tensor:
        return torch.einsum("bihd,bjhd->bhij", rotate(query, at), rotate(key, at))

    where = Setting(str(Chain(LENGTH)), LENGTH, LENGTH**2, 0)
    moved = [difference(scores(here + k), scores(here), leaves) for k in SHIFTS]
    claim = f"08 rotary positions: the same scores k nodes later, k up to {SHIFTS[-1]}"
    yield row(claim, where, moved, BOUND)
    node = range(LENGTH)
    between = torch.stack([torch.stack([rotation(i - j) for j in node]) for i in node])
    written = torch.einsum("bihd,ijde,bjhe->bhij", query, between, key)
    claim = "08 rotary positions: score = q_i' R(i-j) k_j"
    yield row(claim, where, [difference(scores(here), written, leaves)], BOUND)


CLAIMS = (sinusoidal, rotary)

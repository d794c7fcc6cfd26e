"""Row 08, positions: a step along the chain rotates them, and what they rotate is scored by
distance alone.
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
    """R(k): each pair of channels turned by `k * 10000^(-2i/C)`, written out as a matrix `[C,
    C]`.
    """
    angles = [k / 10000 ** (2 * i / CHANNELS) for i in range(CHANNELS // 2)]
    turns = [[[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]] for a in angles]
    return torch.block_diag(*torch.tensor(turns, dtype=torch.float64))


def sinusoidal() -> Iterator[Row]:
    """The positions k nodes later are one rotation of the positions here, the same for every
    node.
    """
    layer, s = (
        SinusoidalPositions(CHANNELS),
        Signal(torch.zeros(1, LENGTH, CHANNELS, dtype=torch.float64), Chain(LENGTH)),
    )
    here = layer(s).x
    differences = [difference(layer.step(s, k)[0].x, here @ rotation(k).T, []) for k in SHIFTS]
    yield row(
        f"08 sinusoidal positions: PE(p+k) = R(k) PE(p), k up to {SHIFTS[-1]}",
        count_edges(layer, s),
        differences,
        BOUND,
    )


def rotary() -> Iterator[Row]:
    """Scores of rotated queries and keys read how far apart two nodes are, and not where they
    stand.
    """
    draw, here = normal(80), places(Chain(LENGTH))
    query, key = (draw(2, LENGTH, 3, CHANNELS).requires_grad_() for _ in range(2))

    def scores(at: Tensor) -> Tensor:
        return torch.einsum("bihd,bjhd->bhij", rotate(query, at), rotate(key, at))

    where = Setting(str(Chain(LENGTH)), LENGTH, LENGTH**2, 0)
    moved = [difference(scores(here + k), scores(here), [query, key]) for k in SHIFTS]
    yield row(
        f"08 rotary positions: the same scores k nodes later, k up to {SHIFTS[-1]}",
        where,
        moved,
        BOUND,
    )
    between = torch.stack(
        [torch.stack([rotation(i - j) for j in range(LENGTH)]) for i in range(LENGTH)]
    )
    written = torch.einsum("bihd,ijde,bjhe->bhij", query, between, key)
    yield row(
        "08 rotary positions: score = q_i' R(i-j) k_j",
        where,
        [difference(scores(here), written, [query, key])],
        BOUND,
    )


CLAIMS = (sinusoidal, rotary)

"""The characters of a finite abelian group that acts on nodes by given permutations: a fast Fourier
transform on its Cayley graph.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from geodl.spectrum.axes import Axis
from geodl.spectrum.transform import Transform, sorted_transform


class Cycle(NamedTuple):
    """What the powers of one generator add to the nodes that the generators before it reach.

    Attributes:
        length: m, the least power that leads back to these nodes.
        carry: the exponents of the generators before it whose product is the m-th power.
    """

    length: int
    carry: tuple[int, ...]


def abelian_transform(moves: Tensor, norm: str | None) -> Transform | None:
    """The modes of the graph that links each node with its images under some permutations, where
    these commute and lead from any node to any other; else None.

    Such a group has one element for each node: `g_1^a_1 ... g_r^a_r` sends node 0 to the node with
    exponents a, `0 <= a_j < m_j`. A character takes g_j to `exp(2 pi i f_j)`. Because
    `g_j^m_j = g_1^c_1 ... g_(j-1)^c_(j-1)`, its phases are `f_j = (k_j + sum over i < j of
    c_i f_i) / m_j`, one for each `0 <= k_j < m_j`: the DFT along axis j, after values are
    multiplied by the twiddle factors `exp(-2 pi i a_j (f_j - k_j / m_j))`.

    Args:
        moves: `[G, N]` permutations of the nodes.
        norm: of the Laplacian: None, "sym" or "rw".
    """
    for k, move in enumerate(moves):
        if any(not torch.equal(move[other], other[move]) for other in moves[:k]):
            return None
    nodes, cycles = _exponents(moves)
    if nodes.numel() != moves.shape[1]:
        return None
    phases, axes = _phases(cycles)
    # Node 0 is linked with the images of itself under generators and their inverses.
    neighbors = torch.unique(torch.cat((moves[:, 0], moves.argsort(1)[:, 0])))
    neighbors = neighbors[neighbors != 0]
    values = torch.full(nodes.shape, float(len(neighbors)), dtype=torch.float64)
    for node in neighbors.tolist():
        exponents = (nodes == node).nonzero()[0].tolist()
        angle = torch.zeros(nodes.shape, dtype=torch.float64)
        for a, phase in zip(exponents, phases, strict=True):
            angle += a * phase.reshape(*phase.shape, *[1] * (nodes.dim() - phase.dim()))
        values -= torch.cos(2 * math.pi * angle)
    values = values.clamp(min=0.0)
    if norm is not None:
        values = values / max(1, len(neighbors))
        if len(neighbors) == 0:
            values = torch.ones_like(values)
    return sorted_transform(values, axes, "fft of an abelian group", nodes.flatten())


def _exponents(moves: Tensor) -> tuple[Tensor, list[Cycle]]:
    """The node that each product of powers of the generators sends node 0 to, an axis for each
    generator `[m_1, ..., m_r]`.
    """
    nodes, cycles = torch.zeros((), dtype=torch.long), []
    for move in moves:
        layers, image = [nodes], move[nodes]
        # A power of the generator leads back into the nodes that were reached, or beside them all.
        while not (nodes == image.flatten()[0]).any():
            layers.append(image)
            image = move[image]
        back = (nodes == image.flatten()[0]).nonzero()[0]
        cycles.append(Cycle(len(layers), tuple(back.tolist())))
        nodes = torch.stack(layers, dim=-1)
    return nodes, cycles


def _phases(cycles: list[Cycle]) -> tuple[list[Tensor], tuple[Axis, ...]]:
    """The phases f_j `[m_1, ..., m_j]` of every character, and the axes of the transform."""
    phases: list[Tensor] = []
    axes: list[Axis] = []
    for j, (length, carry) in enumerate(cycles):
        shape = tuple(cycle.length for cycle in cycles[:j])
        carried = torch.zeros(shape, dtype=torch.float64)
        for c, phase in zip(carry, phases, strict=True):
            carried += c * phase.reshape(*phase.shape, *[1] * (j - phase.dim()))
        k = torch.arange(length, dtype=torch.float64)
        phases.append((carried[..., None] + k) / length)
        twiddle = None
        if any(carry):
            angle = -2 * math.pi * carried[..., None] * k / length
            twiddle = torch.polar(torch.ones_like(angle), angle)
        axes.append(Axis("fft", length, twiddle))
    return phases, tuple(axes)

"""Fourier transforms that the structure of a domain gives in closed form: lattices, complete
graphs, Cayley graphs of finite abelian groups.

Strang, "The Discrete Cosine Transform" (1999); Brouwer and Haemers, "Spectra of Graphs" (2012),
section 1.4; Babai, "Spectra of Cayley graphs" (1979).
"""

import math
from functools import reduce

import torch
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain import Domain
from geodl.group import Cosets, Group
from geodl.spectrum.abelian import abelian_transform
from geodl.spectrum.axes import Axis
from geodl.spectrum.transform import Transform, sorted_transform


@cached_constants()
def closed_form(domain: Domain, norm: str | None) -> Transform | None:
    """The modes of a domain's Laplacian by its structure; None where no structure gives them.

    Args:
        domain: no union.
        norm: None for `D - A`, "sym" or "rw".
    """
    if domain.complete:
        return _complete(domain.num_nodes, norm)
    if domain.linked_to_nearest and domain.lattice is not None:
        return _lattice(domain.lattice, domain.periodic, domain.fiber, norm)
    if domain.linked_by_generators:
        return abelian_transform(domain.generators(), norm)
    return None


def _complete(n: int, norm: str | None) -> Transform:
    """`D - A = n I - 1 1'`: eigenvalue 0 for the vector of ones, n for all that is orthogonal to
    it, as the cosines of the DCT-II are.
    """
    values = torch.full((n,), float(n), dtype=torch.float64)
    values[0] = 0.0
    values = normalised(values, n - 1, norm)
    return Transform(values, (Axis("dct-ii", n),), method="dct-ii of a complete graph")


def _lattice(
    lattice: tuple[int, ...],
    periodic: tuple[bool, ...],
    fiber: Group | Cosets | None,
    norm: str | None,
) -> Transform | None:
    """A product of graphs has products of modes, and sums of eigenvalues: `L = L_1 (+) L_2 (+) ...`

    Normalised, that holds where all degrees are the same, `I - A / d = L / d`, and a path alone has
    modes of its own.
    """
    axes: list[Axis] = []
    values: list[Tensor] = []
    degree, regular = 0, True
    for n, wraps in zip(lattice, periodic, strict=True):
        kind, own = "dct-ii", _path_eigenvalues(n)
        # A ring of two nodes has one link, and is a path.
        if wraps and n > 2:
            kind, own = "fft", _ring_eigenvalues(n)
        elif n > 2:
            regular = False
        axes.append(Axis(kind, n))
        values.append(own)
        degree += min(n - 1, 2)
    if fiber is not None:
        axis, own, steps = _fiber(fiber)
        axes.append(axis)
        values.append(own)
        degree += steps
    long = [n for n in lattice if n > 1]
    if norm is not None and not regular:
        if len(long) > 1 or (fiber is not None and fiber.order > 1):
            return None
        return _path_of_degrees(long[0], norm)
    box = reduce(lambda a, b: a[..., None] + b, values)
    if norm is not None:
        box = normalised(box, degree, norm)
    return sorted_transform(box, tuple(axes), " x ".join(axis.kind for axis in axes))


def _ring_eigenvalues(n: int) -> Tensor:
    """`2 - 2 cos(2 pi k / n)`, as a square: the small ones keep their digits."""
    k = torch.arange(n)
    k = torch.minimum(k, n - k).double()  # frequencies k and n - k are equal to the last bit
    return 4 * torch.sin(math.pi * k / n) ** 2


def _path_eigenvalues(n: int) -> Tensor:
    """`2 - 2 cos(pi k / n)`."""
    return 4 * torch.sin(math.pi * torch.arange(n, dtype=torch.float64) / (2 * n)) ** 2


def _path_of_degrees(n: int, norm: str) -> Transform:
    """The normalised Laplacian of a path: `1 - cos(pi k / (n - 1))`, the DCT-I."""
    k = torch.arange(n, dtype=torch.float64)
    values = 2 * torch.sin(math.pi * k / (2 * (n - 1))) ** 2
    root = None
    if norm == "rw":
        degree = torch.full((n,), 2.0, dtype=torch.float64)
        degree[0] = degree[-1] = 1.0
        root = relative_roots(degree)
    return Transform(values, (Axis("dct-i", n),), root=root, method="dct-i")


def _fiber(group: Group | Cosets) -> tuple[Axis, Tensor, int]:
    """The Cayley graph of a group by its generators: its modes as columns, its eigenvalues and its
    degree.
    """
    product, inverse = group.tables.product, group.tables.inverse
    steps = {*group.generator_numbers, *(int(inverse[s]) for s in group.generator_numbers)}
    n = group.order
    adjacency = torch.zeros(n, n, dtype=torch.float64)
    for step in steps:
        adjacency[torch.arange(n), product[:, step]] = 1.0
    values, vectors = torch.linalg.eigh(len(steps) * torch.eye(n) - adjacency)
    return Axis("eigh", n, vectors=vectors), values.clamp(min=0.0), len(steps)


def normalised(values: Tensor, degree: float, norm: str | None) -> Tensor:
    """The eigenvalues of `I - A / d` from those of `d - A`; nodes without links have 1."""
    if norm is None:
        return values
    if degree == 0:
        return torch.ones_like(values)
    return values / degree


def relative_roots(degree: Tensor) -> Tensor:
    """`sqrt(degree / mean degree)` `[N]`, 1 at nodes without links: the weights under which the
    modes of `I - D^-1 A` are orthonormal.
    """
    linked = degree > 0
    if not linked.any():
        return torch.ones_like(degree)
    mean = degree[linked].mean()
    return torch.where(linked, degree / mean, 1.0).sqrt()

"""Finite groups by their elements and product table, their action on Z^d, and the orbits of node
pairs.
"""

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch.utils._python_dispatch import _disable_current_modes

from geodl.errors import GeodlError

LARGEST_TABLE = 720


@contextmanager
def cached_constants() -> Iterator[None]:
    """Make cached constants as real tensors on the CPU, fit for training, whatever modes their
    first caller is in: another default device, inference mode, fake tensors, `torch.jit.trace`,
    transforms of `torch.func`.
    """
    tracing = torch._C._get_tracing_state()
    torch._C._set_tracing_state(None)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        with (
            torch.device("cpu"),
            torch.inference_mode(False),
            _disable_current_modes(),
            temporarily_clear_interpreter_stack(),
        ):
            yield
    finally:
        torch._C._set_tracing_state(tracing)  # pyright: ignore[reportAttributeAccessIssue]


class Tables(NamedTuple):
    """The arithmetic of a group of n elements, as integer tensors.

    Attributes:
        elements: matrices `[n, d, d]` acting on Z^d, or permutations `[n, d]` of d points; element
            0 is the identity.
        product: `[n, n]`, `product[a, b]` is the element "first b, then a".
        inverse: `[n]`.
        generators: a few element numbers that generate all of them.
    """

    elements: Tensor
    product: Tensor
    inverse: Tensor
    generators: tuple[int, ...]


@dataclass(frozen=True)
class Group:
    """A finite group: a name, the number of its elements, and the axes of the lattice it acts on
    (0: none).

    Build one with :func:`C`, :func:`D`, :func:`O`, :func:`Oh` or :func:`S`.

    >>> C(4)
    C4
    >>> Oh().order
    48
    """

    name: str
    order: int
    axes: int

    def __repr__(self) -> str:
        return self.name

    @property
    def elements(self) -> Tensor:
        """The elements: matrices `[n, d, d]` on Z^d, or permutations `[n, d]`."""
        return _elements(self.name)[0]

    @property
    def generators(self) -> tuple[int, ...]:
        """Numbers of a few elements that generate the group."""
        return _elements(self.name)[1]

    @property
    def tables(self) -> Tables:
        """Elements, product, inverse and generators; refused for groups of more than 720
        elements.
        """
        return _tables(self)


def C(n: int) -> Group:
    """Cyclic group: rotations of the square lattice by multiples of 360/n degrees, n in 1, 2, 4.

    Element k turns by k * 360/n in the sense of `torch.rot90`.

    >>> C(4).elements[1].tolist()
    [[0, -1], [1, 0]]
    """
    return _square_group("C", n, n)


def D(n: int) -> Group:
    """Dihedral group of 2n elements: the rotations of :func:`C` and n reflections, n in 1, 2, 4.

    >>> D(4).order
    8
    """
    return _square_group("D", n, 2 * n)


def O() -> Group:
    """The 24 rotations of the cube, acting on the cubic lattice.

    >>> O().order
    24
    """
    return Group("O", 24, 3)


def Oh() -> Group:
    """The 48 rotations and reflections of the cube, acting on the cubic lattice."""
    return Group("Oh", 48, 3)


def S(n: int) -> Group:
    """The symmetric group: all n! permutations of n points. It does not act on a lattice.

    >>> S(5).order, tuple(S(5).elements.shape)
    (120, (120, 5))
    """
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= 8:
        raise GeodlError(
            f"S({n})", "a size outside 1 to 8", "for more points give the generators to GSet"
        )
    return Group(f"S{n}", math.factorial(n), 0)


def orbits(generators: Tensor) -> Tensor:
    """Number the orbits of ordered node pairs under permutations of the nodes.

    Two pairs of nodes get the same number when a product of the generators carries one to the
    other; a linear layer commutes with the generators exactly when its matrix is constant on these
    orbits (Ravanbakhsh, Schneider, Poczos, "Equivariance Through Parameter-Sharing", 2017).

    Args:
        generators: `[G, N]`, row k sends node i to `generators[k, i]`.

    Returns:
        `[N, N]` integers, receivers first, labels 0..n-1 in order of first appearance.

    >>> orbits(torch.tensor([[1, 2, 0]])).tolist()
    [[0, 1, 2], [2, 0, 1], [1, 2, 0]]
    """
    n = generators.shape[1]
    label = torch.arange(n * n)
    moves = [(g[:, None] * n + g[None, :]).reshape(-1) for g in generators]
    settled = False
    while not settled:
        before = label
        for move in moves:
            jump = move
            for _ in range(
                max(1, (n * n - 1).bit_length())
            ):  # doubling: the least label within 2, 4, 8, ... steps
                label = torch.minimum(label, label[jump])
                jump = jump[jump]
        settled = torch.equal(before, label)
    return torch.unique(label, return_inverse=True)[1].reshape(n, n)


def _square_group(letter: str, n: int, order: int) -> Group:
    if isinstance(n, bool) or not isinstance(n, int) or n not in (1, 2, 4):
        raise GeodlError(
            f"{letter}({n})",
            f"{n}-fold rotations do not map the square lattice to itself",
            "use n = 1, 2 or 4",
        )
    return Group(f"{letter}{n}", order, 2)


@cache
@cached_constants()
def _elements(name: str) -> tuple[Tensor, tuple[int, ...]]:
    if name in ("O", "Oh"):
        return _cube(rotations_only=name == "O")
    letter, n = name[0], int(name[1:])
    if letter == "S":
        points = torch.tensor(list(itertools.permutations(range(n)))).reshape(-1, n)
        wanted = torch.tensor([[1, 0, *range(2, n)], [*range(1, n), 0]] if n > 1 else [[0]])
        return points, _find(points, wanted)
    quarter = torch.tensor([[0, -1], [1, 0]])
    turns = [torch.matrix_power(quarter, 4 * k // n) for k in range(n)]
    mirror = torch.tensor([[1, 0], [0, -1]])
    if letter == "C":
        return torch.stack(turns), (1,) if n > 1 else ()
    return torch.stack(turns + [turn @ mirror for turn in turns]), (1, n) if n > 1 else (1,)


def _cube(rotations_only: bool) -> tuple[Tensor, tuple[int, ...]]:
    signed = [
        torch.diag(torch.tensor(signs))[list(order)]
        for order in itertools.permutations(range(3))
        for signs in itertools.product((1, -1), repeat=3)
    ]
    matrices = torch.stack(signed)
    if rotations_only:
        matrices = matrices[torch.linalg.det(matrices.double()) > 0]
    quarters = [[[0, -1, 0], [1, 0, 0], [0, 0, 1]], [[1, 0, 0], [0, 0, -1], [0, 1, 0]]]
    inversion = [] if rotations_only else [(-torch.eye(3, dtype=torch.long)).tolist()]
    return matrices, _find(matrices, torch.tensor(quarters + inversion))


def _find(elements: Tensor, wanted: Tensor) -> tuple[int, ...]:
    return tuple(_lookup(elements)(wanted).tolist())


def _lookup(elements: Tensor):
    """A function from elements (in any leading shape) to their numbers: each element is written in
    a number base.
    """
    digits = elements.flatten(1)
    base = int(digits.max() - digits.min()) + 1
    places = base ** torch.arange(digits.shape[1])
    codes, order = torch.sort(((digits - digits.min()) * places).sum(1))

    def number(found: Tensor) -> Tensor:
        flat = found.reshape(*found.shape[: found.dim() - elements.dim() + 1], -1)
        return order[torch.searchsorted(codes, ((flat - digits.min()) * places).sum(-1))]

    return number


@cache
@cached_constants()
def _tables(group: Group) -> Tables:
    if group.order > LARGEST_TABLE:
        raise GeodlError(
            f"the product table of {group}",
            f"{group.order} elements",
            f"use a group of at most {LARGEST_TABLE} elements",
        )
    e = group.elements
    products = (
        e[:, None] @ e[None, :]
        if e.dim() == 3
        else e[torch.arange(len(e))[:, None, None], e[None, :]]
    )
    product = _lookup(e)(products)
    return Tables(e, product, (product == 0).int().argmax(1), group.generators)

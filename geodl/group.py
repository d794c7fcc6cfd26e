"""Finite groups by their elements and product table, their action on Z^d, and the orbits of node
pairs.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ContextDecorator, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, final

import torch
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch._ops import _len_torch_dispatch_stack_pre_dispatch
from torch.utils._python_dispatch import _disable_current_modes

from geodl.errors import GeodlError, as_integer

LARGEST_TABLE = 720


def cached_constants() -> "OutsideModes":
    """Make cached constants outside of every mode of torch that their first caller is in, so that
    any later caller may use them, in training too.

    Inside, tensors are made on the CPU whatever the default device, outside of inference mode, and
    unseen by fake modes, by `torch.jit.trace` (to which sizes are tensors) and by the transforms of
    `torch.func`, whose wrappers die with them.
    """
    return OutsideModes()


@final
class OutsideModes(ContextDecorator):
    """The block, or the function, of :func:`cached_constants`."""

    def __init__(self):
        self.left: AbstractContextManager[None] | None = None

    def _recreate_cm(self) -> "OutsideModes":
        # As a decorator it is entered by every call anew, from several threads.
        return OutsideModes()

    def __enter__(self) -> None:
        # As nearly always: entering all of the others takes longer than a small graph.
        if not _is_plain():
            self.left = _without_modes()
            self.left.__enter__()

    def __exit__(self, *raised: Any) -> bool | None:
        if self.left is not None:
            return self.left.__exit__(*raised)
        return None


@contextmanager
def _without_modes() -> Iterator[None]:
    """A block outside of all modes of torch."""
    trace = torch._C._get_tracing_state()
    torch._C._set_tracing_state(None)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        with (
            torch._C.DisableTorchFunction(),  # the default device is such a function
            torch.inference_mode(False),
            _disable_current_modes(),
            temporarily_clear_interpreter_stack(),
        ):
            yield
    finally:
        torch._C._set_tracing_state(trace)  # pyright: ignore[reportAttributeAccessIssue]


def _is_plain() -> bool:
    """Whether torch is in none of the modes that change what new tensors are."""
    return not (
        torch._C._len_torch_function_stack()
        or torch.is_inference_mode_enabled()
        or torch._C._len_torch_dispatch_stack()
        or _len_torch_dispatch_stack_pre_dispatch()
        or torch._C._get_tracing_state()
        or peek_interpreter_stack()
    )


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
    """A finite group, made by :func:`C`, :func:`D`, :func:`O`, :func:`Oh` or :func:`S`.

    Attributes:
        name: as it is printed.
        order: the number of its elements.
        axes: of the lattice it acts on; 0 if it acts on none.

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
        """Elements, product, inverse and generators.

        Raises:
            GeodlError: if the group has more than 720 elements.
        """
        return _tables(self)


def C(n: int) -> Group:
    """Cyclic group: rotations of the square lattice by multiples of 360/n degrees, n in 1, 2, 4.

    Element k turns by k * 360/n degrees in the sense of `torch.rot90`.

    Raises:
        GeodlError: if n is another number.

    >>> C(4).elements[1].tolist()
    [[0, -1], [1, 0]]
    """
    fold = _square_fold("C", n)
    return Group(f"C{fold}", fold, 2)


def D(n: int) -> Group:
    """Dihedral group of 2n elements on (row, column), n in 1, 2, 4: element k < n is that of
    :func:`C`, element n + k the mirror `column -> -column` followed by it.

    Raises:
        GeodlError: if n is another number.

    >>> D(4).order
    8
    """
    fold = _square_fold("D", n)
    return Group(f"D{fold}", 2 * fold, 2)


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

    Raises:
        GeodlError: if n is not from 1 to 8.

    >>> S(5).order, tuple(S(5).elements.shape)
    (120, (120, 5))
    """
    points = as_integer(n)
    if points is None or not 1 <= points <= 8:
        do = "for more points give the generators to GSet"
        raise GeodlError(f"S({n})", "a size outside 1 to 8", do)
    return Group(f"S{points}", math.factorial(points), 0)


@cached_constants()
def pair_orbits(generators: Tensor) -> Tensor:
    """Number the orbits of ordered node pairs under permutations of the nodes.

    Two pairs of nodes get the same number when a product of the generators carries one to the
    other; a linear layer commutes with the generators exactly when its matrix is constant on these
    orbits (Ravanbakhsh, Schneider, Poczos, "Equivariance Through Parameter-Sharing", 2017).

    Args:
        generators: `[G, N]`, row k maps node i to `generators[k, i]`.

    Returns:
        `[N, N]` integers, receivers first, labels 0..n-1 in order of first appearance.

    >>> pair_orbits(torch.tensor([[1, 2, 0]])).tolist()
    [[0, 1, 2], [2, 0, 1], [1, 2, 0]]
    """
    n = generators.shape[1]
    pairs = n * n
    # Pair (i, j) has number i * n + j, and a generator moves it to (g i, g j).
    moves = [(g[:, None] * n + g[None, :]).reshape(-1) for g in generators]
    label = torch.arange(pairs)
    settled = False
    while not settled:
        before = label
        for move in moves:
            # A permutation of P pairs comes back to its start within P steps. After k rounds the
            # label is the least within 2^k steps, so that log2(P) rounds see a whole cycle.
            jump = move
            for _ in range(max(1, (pairs - 1).bit_length())):
                label = torch.minimum(label, label[jump])
                jump = jump[jump]
        settled = torch.equal(before, label)
    return torch.unique(label, return_inverse=True)[1].reshape(n, n)


def _square_fold(letter: str, n: Any) -> int:
    """1, 2 or 4: the orders of rotations that map the square lattice to itself."""
    fold = as_integer(n)
    if fold not in (1, 2, 4):
        found = f"{n}-fold rotations do not map the square lattice to itself"
        raise GeodlError(f"{letter}({n})", found, "use n = 1, 2 or 4")
    return fold


@cache
@cached_constants()
def _elements(name: str) -> tuple[Tensor, tuple[int, ...]]:
    """The elements of a group, and the numbers of its generators."""
    if name in ("O", "Oh"):
        return _cube(rotations_only=name == "O")
    letter, n = name[0], int(name[1:])
    # Rotations first, then each of them after the mirror: element k + n is rotation k times mirror.
    if letter == "S":
        return _permutations(n)
    quarter = torch.tensor([[0, -1], [1, 0]])
    turns = [torch.matrix_power(quarter, 4 * k // n) for k in range(n)]
    rotation = (1,) if n > 1 else ()
    if letter == "C":
        return torch.stack(turns), rotation
    mirror = torch.tensor([[1, 0], [0, -1]])
    mirrored = [turn @ mirror for turn in turns]
    return torch.stack(turns + mirrored), (*rotation, n)


def _permutations(n: int) -> tuple[Tensor, tuple[int, ...]]:
    """All permutations of n points; an exchange of two and a cycle through all generate them."""
    points = torch.tensor(list(itertools.permutations(range(n)))).reshape(-1, n)
    if n == 1:
        return points, (0,)
    exchange = [1, 0, *range(2, n)]
    cycle = [*range(1, n), 0]
    return points, _find(points, torch.tensor([exchange, cycle]))


def _cube(rotations_only: bool) -> tuple[Tensor, tuple[int, ...]]:
    """The signed permutations of three axes, those of determinant 1 or all."""
    signed = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            # Row i of the matrix is a sign times the unit vector of axis order[i].
            signed.append(torch.diag(torch.tensor(signs))[list(order)])
    matrices = torch.stack(signed)
    about_z = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    about_x = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    generators = [about_z, about_x]
    if rotations_only:
        matrices = matrices[torch.linalg.det(matrices.double()) > 0]
    else:
        inversion = [[-1, 0, 0], [0, -1, 0], [0, 0, -1]]
        generators.append(inversion)
    return matrices, _find(matrices, torch.tensor(generators))


def _find(elements: Tensor, wanted: Tensor) -> tuple[int, ...]:
    return tuple(_lookup(elements)(wanted).tolist())


def _lookup(elements: Tensor) -> Callable[[Tensor], Tensor]:
    """A function from elements (in any leading shape) to their numbers.

    Each element is read as the digits of one number, so that a binary search finds it.
    """
    digits = elements.flatten(1)
    least = digits.min()
    base = int(digits.max() - least) + 1
    values = base ** torch.arange(digits.shape[1])
    codes, order = torch.sort(((digits - least) * values).sum(1))

    def number(found: Tensor) -> Tensor:
        leading = found.shape[: found.dim() - elements.dim() + 1]
        found_codes = ((found.reshape(*leading, -1) - least) * values).sum(-1)
        return order[torch.searchsorted(codes, found_codes)]

    return number


@cache
@cached_constants()
def _tables(group: Group) -> Tables:
    if group.order > LARGEST_TABLE:
        do = f"use a group of at most {LARGEST_TABLE} elements"
        raise GeodlError(f"the product table of {group}", f"{group.order} elements", do)
    e = group.elements
    if e.dim() == 3:
        products = e[:, None] @ e[None, :]
    else:
        products = e[torch.arange(len(e))[:, None, None], e[None, :]]
    product = _lookup(e)(products)
    inverse = (product == 0).int().argmax(1)
    return Tables(e, product, inverse, group.generators)

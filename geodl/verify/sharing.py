"""Row 10: sharing is symmetry.

Free weights are orbits on node pairs, free biases are orbits on nodes.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from geodl import C, Complete, Conv, Domain, Grid, GroupGrid, GSet, S, all_pairs, orbits
from geodl.domain import rotate_nodes, shift_nodes
from geodl.verify.base import Row, equal, largest, normal, randomised, signal

MOST_UNKNOWNS = 625


class Case(NamedTuple):
    """A group acting on nodes: as the domain gives it, as all its elements `[|G|, N]` by hand, and
    what to expect.
    """

    name: str
    domain: Domain
    elements: Tensor
    weights: int
    biases: int


def cases() -> Iterator[Case]:
    """The seven groups."""
    node, torus = torch.arange(8), Grid(5, 5, periodic=True)
    turns = [(node + k) % 8 for k in node]
    flips = [(k - node) % 8 for k in node]
    every = torch.tensor(list(itertools.permutations(range(8))))
    square = GSet(
        torch.stack(
            (shift_nodes(torus, 0, 1), shift_nodes(torus, 1, 1), rotate_nodes(torus, C(4), 1))
        )
    )
    five = torch.tensor(list(itertools.permutations(range(5))))
    moves = S(5).elements[list(S(5).generators)]
    yield Case("Z_8", GSet(turns[1][None]), torch.stack(turns), 8, 1)
    yield Case("D_8 (16 elements)", Grid(8, periodic=True), torch.stack(turns + flips), 5, 1)
    yield Case("S_8", Complete(8), every, 2, 1)
    yield Case("trivial", GSet(node[None]), node[None], 64, 8)
    yield Case("Z_5 x Z_5 with C4 about a node", square, _torus(sheets=1), 7, 1)
    yield Case("p4 regular on 5x5", GroupGrid(torus, C(4)), _torus(sheets=4), 100, 1)
    yield Case(
        "S_5 on ordered pairs", GSet(_on_pairs(moves)), _on_pairs(five), 15, 2
    )  # (a, a) and (a, b)


def counted() -> Iterator[Row]:
    """Every count of free weights agrees, and the layer that has them is the dense matrix that they
    tie.
    """
    for case in cases():
        layer = randomised(Conv(2, 3, all_pairs("orbit"), on=case.domain), normal(60))
        layer.on = None  # called with signals, as all layers here
        labels = tied(case.elements)

        def peer(x: Tensor, layer: Conv = layer, labels: Tensor = labels) -> Tensor:
            return torch.einsum("ijcd,bjc->bid", layer.weight[labels], x) + (
                0.0 if layer.bias is None else layer.bias
            )

        matrices, vectors = counts(case)
        ways = " = ".join(way for way in matrices if way != "layer")
        claim = (
            f"10 {case.name}: {ways}, free weights {_said(matrices)}, free biases {_said(vectors)}"
        )
        row = equal(claim, layer, [signal(case.domain, 2)], peer, 1e-12)
        off = [abs(n - case.weights) for n in matrices.values()] + [
            abs(n - case.biases) for n in vectors.values()
        ]
        yield row._replace(
            max_output_error=largest([row.max_output_error, *off]),
            passed=row.passed and not any(off),
        )


def counts(case: Case) -> tuple[dict[str, int], dict[str, int]]:
    """Free numbers of an equivariant matrix, and of an invariant vector, each counted in several
    ways.
    """
    n, generators, kinds = case.domain.num_nodes, case.domain.generators(), orbits(case.domain)
    fixed = (case.elements == torch.arange(n)).sum(1)
    matrices = {
        "layer": all_pairs("orbit").num_types(case.domain),
        "orbits": len(kinds.unique()),
        "Burnside": _average(fixed.square()),
    }
    vectors = {"orbits": len(kinds.diagonal().unique()), "Burnside": _average(fixed)}
    still = torch.eye(n, dtype=torch.float64)
    moves = [still[g] for g in generators]
    vectors["null space"] = n - _rank([p - still for p in moves])
    if n * n <= MOST_UNKNOWNS:
        matrices["null space"] = n * n - _rank([torch.kron(p, p) - torch.eye(n * n) for p in moves])
    return matrices, vectors


def tied(elements: Tensor) -> Tensor:
    """Pairs (i, j) that some element carries to each other, numbered alike: the least code `g(i) N
    + g(j)` names them.
    """
    n = elements.shape[1]
    least = torch.stack([(elements[:, i, None] * n + elements).amin(0) for i in range(n)])
    return least.unique(return_inverse=True)[1]


def _average(numbers: Tensor) -> int:
    """A mean that has to be whole; -1 where it is not."""
    total = int(numbers.sum())
    return -1 if total % len(numbers) else total // len(numbers)


def _rank(equations: list[Tensor]) -> int:
    return int(torch.linalg.matrix_rank(torch.cat(equations)))


def _torus(sheets: int) -> Tensor:
    """Shifts and quarter turns about node (0, 0) of a 5x5 torus, on its nodes or on its nodes times
    the turns.
    """
    row, column, sheet = torch.meshgrid(
        torch.arange(5), torch.arange(5), torch.arange(sheets), indexing="ij"
    )
    elements = []
    for down, right, quarters in itertools.product(range(5), range(5), range(4)):
        r, c = row, column
        for _ in range(quarters):
            r, c = -c, r
        elements.append(
            (((r + down) % 5 * 5 + (c + right) % 5) * sheets + (sheet + quarters) % sheets).reshape(
                -1
            )
        )
    return torch.stack(elements)


def _on_pairs(permutations: Tensor) -> Tensor:
    return (permutations[:, :, None] * 5 + permutations[:, None, :]).flatten(1)


def _said(numbers: dict[str, int]) -> str:
    """One number where all agree, else who says what."""
    values = set(numbers.values())
    return (
        str(values.pop())
        if len(values) == 1
        else ", ".join(f"{n} ({who})" for who, n in numbers.items())
    )


CLAIMS = (counted,)

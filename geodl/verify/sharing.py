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
    """A group that acts on nodes.

    Attributes:
        name: in words.
        domain: whose generators are those of the group.
        elements: all elements as permutations of the nodes `[|G|, N]`, written by hand.
        weights: how many free weights an equivariant matrix has.
        biases: how many free biases.
    """

    name: str
    domain: Domain
    elements: Tensor
    weights: int
    biases: int


def cases() -> Iterator[Case]:
    """The seven groups."""
    node, torus = torch.arange(8), Grid(5, 5, periodic=True)
    turns = [(node + k) % 8 for k in range(8)]
    flips = [(k - node) % 8 for k in range(8)]
    eight = torch.tensor(list(itertools.permutations(range(8))))
    yield Case("Z_8", GSet(turns[1][None]), torch.stack(turns), 8, 1)
    yield Case("D_8 (16 elements)", Grid(8, periodic=True), torch.stack(turns + flips), 5, 1)
    yield Case("S_8", Complete(8), eight, 2, 1)
    yield Case("trivial", GSet(node[None]), node[None], 64, 8)
    shifts = [shift_nodes(torus, axis, 1) for axis in (0, 1)]
    square = GSet(torch.stack([*shifts, rotate_nodes(torus, C(4), 1)]))
    yield Case("Z_5 x Z_5 with C4 about a node", square, _torus(sheets=1), 7, 1)
    yield Case("p4 regular on 5x5", GroupGrid(torus, C(4)), _torus(sheets=4), 100, 1)
    five = torch.tensor(list(itertools.permutations(range(5))))
    pairs = GSet(_on_pairs(torch.tensor(S(5).generators)))
    # Two orbits of nodes, hence two biases: the pairs (a, a) and the pairs (a, b).
    yield Case("S_5 on ordered pairs", pairs, _on_pairs(five), 15, 2)


def counted() -> Iterator[Row]:
    """Every count of free weights agrees, and the layer that has them is the dense matrix that they
    tie.
    """
    for case in cases():
        layer = randomised(Conv(2, 3, all_pairs("orbit"), on=case.domain), normal(60))
        types = tied(case.elements)

        def peer(
            x: Tensor, layer: Conv = layer, case: Case = case, types: Tensor = types
        ) -> Tensor:
            assert layer.bias is not None
            bias = layer.bias
            if case.biases > 1:
                bias = bias[orbits_of_nodes(case.elements)]
            return torch.einsum("ijcd,bjc->bid", layer.weight[types], x) + bias

        matrices, vectors = count_matrices(case), count_vectors(case)
        ways = " = ".join(way for way in matrices if way != "layer")
        claim = f"10 {case.name}: {ways}, free weights {_in_words(matrices)}"
        claim = f"{claim}, free biases {_in_words(vectors)}"
        row = equal(claim, layer, [signal(case.domain, 2)], peer, 1e-12)
        wrong = [abs(count - case.weights) for count in matrices.values()]
        wrong += [abs(count - case.biases) for count in vectors.values()]
        error = largest([row.max_output_error, *wrong])
        yield row._replace(max_output_error=error, passed=row.passed and not any(wrong))


def count_matrices(case: Case) -> dict[str, int]:
    """The free numbers of an equivariant matrix, `P A = A P` for each generator, counted in several
    ways.
    """
    n = case.domain.num_nodes
    counts = {
        "layer": all_pairs("orbit").num_types(case.domain),
        "orbits": len(orbits(case.domain).unique()),
        # An element fixes the pair (i, j) if it fixes i and j.
        "Burnside": _average(_num_fixed(case).square()),
    }
    if n * n <= MOST_UNKNOWNS:
        one = torch.eye(n * n)
        equations = [torch.kron(p, p) - one for p in _generator_matrices(case)]
        counts["null space"] = n * n - _rank(equations)
    return counts


def count_vectors(case: Case) -> dict[str, int]:
    """The free numbers of an invariant vector, `P b = b` for each generator, counted in several
    ways.
    """
    n = case.domain.num_nodes
    equations = [p - torch.eye(n) for p in _generator_matrices(case)]
    layer = Conv(1, 1, all_pairs("orbit"), on=case.domain)
    assert layer.bias is not None
    return {
        "layer": layer.bias.numel(),
        "orbits": len(orbits(case.domain).diagonal().unique()),
        "Burnside": _average(_num_fixed(case)),
        "null space": n - _rank(equations),
    }


def _generator_matrices(case: Case) -> list[Tensor]:
    one = torch.eye(case.domain.num_nodes, dtype=torch.float64)
    return [one[generator] for generator in case.domain.generators()]


def _num_fixed(case: Case) -> Tensor:
    """How many nodes each element fixes: `[|G|]`."""
    return (case.elements == torch.arange(case.domain.num_nodes)).sum(1)


def tied(elements: Tensor) -> Tensor:
    """`[N, N]`, equal numbers for pairs (i, j) that some element carries to each other: the orbit
    is named by the smallest code `g(i) N + g(j)` in it.
    """
    n = elements.shape[1]
    codes = [(elements[:, i, None] * n + elements).amin(0) for i in range(n)]
    return torch.stack(codes).unique(return_inverse=True)[1]


def orbits_of_nodes(elements: Tensor) -> Tensor:
    """`[N]`, the orbit of each node, named by the smallest node in it, by first appearance."""
    return elements.amin(0).unique(return_inverse=True)[1]


def _average(numbers: Tensor) -> int:
    """A mean that has to be an integer; -1 where it is not."""
    total = int(numbers.sum())
    return -1 if total % len(numbers) else total // len(numbers)


def _rank(equations: list[Tensor]) -> int:
    return int(torch.linalg.matrix_rank(torch.cat(equations)))


def _torus(sheets: int) -> Tensor:
    """Shifts and quarter turns about node (0, 0) of a 5x5 torus, on its nodes or on its nodes times
    the turns.
    """
    axes = torch.arange(5), torch.arange(5), torch.arange(sheets)
    row, column, sheet = torch.meshgrid(*axes, indexing="ij")
    elements = []
    for down, right, quarters in itertools.product(range(5), range(5), range(4)):
        r, c = row, column
        for _ in range(quarters):
            r, c = -c, r
        node = (r + down) % 5 * 5 + (c + right) % 5
        moved = node * sheets + (sheet + quarters) % sheets
        elements.append(moved.reshape(-1))
    return torch.stack(elements)


def _on_pairs(permutations: Tensor) -> Tensor:
    return (permutations[:, :, None] * 5 + permutations[:, None, :]).flatten(1)


def _in_words(counts: dict[str, int]) -> str:
    """One number where all counts agree, else each count with the way that gave it."""
    values = set(counts.values())
    if len(values) == 1:
        return str(values.pop())
    return ", ".join(f"{count} ({way})" for way, count in counts.items())


CLAIMS = (counted,)

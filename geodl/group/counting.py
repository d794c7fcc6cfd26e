"""The order of a group of permutations that is too large to list."""

import itertools
import math
from collections.abc import Sequence

import numpy as np

TRIES = 200  # random elements that are examined before the search is given up


def count_elements(generators: Sequence[Sequence[int]]) -> int:
    """The order of the group that permutations generate, without a list of its elements.

    Groups that contain all even permutations are recognised by Jordan's theorem. Of any other the
    order is the product of the orbits' lengths along a chain of stabilisers (Schreier and Sims, as
    sympy computes it).
    """
    degree = len(generators[0])
    if _contains_even_permutations(np.array(generators)):
        if any(_is_odd(generator) for generator in generators):
            return math.factorial(degree)
        return math.factorial(degree) // 2
    from sympy.combinatorics import Permutation, PermutationGroup

    return int(PermutationGroup([Permutation(list(g)) for g in generators]).order())


def in_words(count: int) -> str:
    """A number of elements as it is printed: of more than twenty digits the power of ten.

    >>> in_words(24), in_words(math.factorial(200))
    ('24', 'some 10^374')
    """
    if count < 10**20:
        return str(count)
    return f"some 10^{int(math.log10(count))}"


def _contains_even_permutations(generators: np.ndarray) -> bool:
    """Whether a random element proves that all even permutations are in the group; False where
    none of those tried does.

    A transitive group with an element that has a cycle of prime length p, n / 2 < p < n - 2,
    contains all even permutations: a power of it is a p-cycle, the group is primitive because p is
    longer than any block, and Jordan's theorem (Wielandt, "Finite Permutation Groups", 1964,
    theorem 13.9) does the rest.
    """
    degree = generators.shape[1]
    primes = {p for p in range(degree // 2 + 1, degree - 2) if _is_prime(p)}
    if not primes or not _is_transitive(generators):
        return False
    rng = np.random.default_rng(0)
    # Random elements as products of a pool whose members multiply each other (Celler et al.,
    # "Generating random elements of a finite group", 1995).
    pool = list(itertools.islice(itertools.cycle(generators), max(10, len(generators))))
    for _ in range(TRIES):
        a, b = rng.choice(len(pool), 2, replace=False)
        pool[a] = pool[a][pool[b]]
        if primes & _cycle_lengths(pool[a]):
            return True
    return False


def _is_transitive(generators: np.ndarray) -> bool:
    reached = {0}
    latest = [0]
    while latest:
        images = {int(generator[i]) for i in latest for generator in generators}
        latest = list(images - reached)
        reached |= images
    return len(reached) == generators.shape[1]


def _cycle_lengths(permutation: Sequence[int] | np.ndarray) -> set[int]:
    return {len(cycle) for cycle in _cycles(permutation)}


def _is_odd(permutation: Sequence[int]) -> bool:
    # A cycle of k points is a product of k - 1 exchanges.
    return sum(len(cycle) - 1 for cycle in _cycles(permutation)) % 2 == 1


def _cycles(permutation: Sequence[int] | np.ndarray) -> list[list[int]]:
    left = set(range(len(permutation)))
    cycles = []
    while left:
        point = left.pop()
        cycle = [point]
        while (point := int(permutation[point])) != cycle[0]:
            left.remove(point)
            cycle.append(point)
        cycles.append(cycle)
    return cycles


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % k for k in range(2, math.isqrt(n) + 1))

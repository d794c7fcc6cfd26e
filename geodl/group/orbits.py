"""What permutations carry to each other: orbits of nodes, and of pairs of nodes."""

import torch
from torch import Tensor

from geodl.constants import cached_constants


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

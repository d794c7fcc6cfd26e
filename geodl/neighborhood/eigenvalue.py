"""The largest eigenvalue of a symmetric operator."""

import torch

from geodl.neighborhood.edges import Edges

DENSE = 512  # nodes up to which all eigenvalues are found at once


def largest_eigenvalue(edges: Edges, num_nodes: int) -> float:
    """The largest eigenvalue of a symmetric matrix given by its entries.

    Args:
        edges: the entries, with weights; parallel ones add up.
        num_nodes: N.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import eigsh

    assert edges.weight is not None
    dst, src, weight = (end.numpy(force=True) for end in (edges.dst, edges.src, edges.weight))
    matrix = coo_array((weight, (dst, src)), shape=(num_nodes, num_nodes), dtype=float).tocsr()
    if num_nodes <= DENSE:
        return float(torch.linalg.eigvalsh(torch.from_numpy(matrix.toarray()))[-1])
    # The start is fixed: the same graph has the same number in every run. It is not an eigenvector
    # of a Laplacian, as ones would be.
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(num_nodes, generator=generator, dtype=torch.float64).numpy()
    found = eigsh(matrix, 1, which="LA", v0=start, ncv=40, return_eigenvectors=False)
    return float(found[0])

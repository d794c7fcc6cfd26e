"""The modes of any graph: all of them by a dense eigensolver, the first by a sparse one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.neighborhood.laplacian import laplacian
from geodl.spectrum.axes import Axis
from geodl.spectrum.closed import relative_roots
from geodl.spectrum.transform import Transform

DENSE = 512  # nodes up to which all eigenvectors are found faster than a few
MOST_BYTES = 2**30  # of a dense matrix and its eigenvectors


def solved(domain: Domain, norm: str | None, count: int | None) -> Transform:
    """The modes of a domain's Laplacian by an eigensolver.

    Args:
        domain: no union, with links of non-negative weight.
        norm: None for `D - A`, "sym" or "rw".
        count: how many, smallest eigenvalues first; None for all.

    Raises:
        GeodlError: if a weight is negative, or differs in the two directions of a link; if a dense
            solver is needed that does not fit into memory.
    """
    plain = laplacian_matrix(domain)
    degree = plain.diagonal()
    matrix = plain
    if norm is not None:
        matrix = _normalised(plain, degree)
    n = domain.num_nodes
    if count is None or count == n:
        _check_memory(domain, n)
        values, vectors = np.linalg.eigh(matrix.toarray())
        method = f"eigh of {n} x {n}"
    else:
        values, vectors, method = _first(matrix, degree, norm, count)
    root = None
    if norm == "rw":
        root = relative_roots(torch.from_numpy(degree.copy()))
    # Eigenvalues of 0 come out a little below it, where roots are no numbers.
    eigenvalues = torch.from_numpy(np.ascontiguousarray(values)).clamp(min=0.0)
    columns = torch.from_numpy(np.ascontiguousarray(vectors))
    axis = Axis("eigh", n, vectors=columns)
    return Transform(eigenvalues, (axis,), root=root, method=method)


def num_parts(domain: Domain) -> int:
    """The number of connected parts of a domain, its links taken in both directions; one of weight
    0 joins none.
    """
    from scipy.sparse import coo_array, csgraph

    links, n = domain.links(), domain.num_nodes
    dst, src = (end.numpy(force=True) for end in links[:2])
    joins = np.ones(len(dst))
    if links.weight is not None:
        joins = (links.weight != 0).numpy(force=True).astype(float)
    graph = coo_array((joins, (dst, src)), shape=(n, n)).tocsr()
    graph.eliminate_zeros()
    return csgraph.connected_components(graph, directed=False)[0]


def laplacian_matrix(domain: Domain) -> Any:
    """`D - A` of the undirected links of a domain, as a sparse array of scipy `[N, N]`.

    Raises:
        GeodlError: if a weight is negative, or differs in the two directions of a link.
    """
    from scipy.sparse import coo_array

    edges, n = laplacian().edges(domain), domain.num_nodes
    assert edges.weight is not None
    dst, src, weight = (end.numpy(force=True) for end in (edges.dst, edges.src, edges.weight))
    if (weight[dst != src] > 0).any():
        asked = f"the spectrum of {domain}"
        found = "negative weights, under which eigenvalues are no frequencies"
        raise GeodlError(asked, found, "use non-negative weights")
    matrix = coo_array((weight, (dst, src)), shape=(n, n), dtype=float).tocsr()
    # A link of weight 0 joins no parts.
    matrix.eliminate_zeros()
    return matrix


def _normalised(plain: Any, degree: Any) -> Any:
    """`I - D^-1/2 A D^-1/2` from `D - A`, 1 on the diagonal of nodes without links."""
    from scipy.sparse import diags_array

    linked = degree > 0
    root = np.zeros_like(degree)
    root[linked] = degree[linked] ** -0.5
    scale = diags_array(root)
    return (scale @ plain @ scale + diags_array((~linked).astype(float))).tocsr()


def _check_memory(domain: Domain, n: int) -> None:
    """Refuse a dense matrix that is too large."""
    needed = 2 * 8 * n * n
    if needed <= MOST_BYTES:
        return
    asked = f"all modes of {domain}"
    found = f"a dense matrix and its eigenvectors, {needed / 2**30:.1f} GiB"
    do = "ask for a few, g.spectrum(domain, k); filter by polynomials, g.Filter(f, order=20)"
    raise GeodlError(asked, found, do)


def _first(matrix: Any, degree: Any, norm: str | None, count: int) -> tuple[Any, Any, str]:
    """The smallest eigenvalues, their eigenvectors, and how they were found."""
    from scipy.sparse import csgraph, csr_array

    n = len(degree)
    # Normalised, a node without links has eigenvalue 1 and is a mode by itself.
    alone = np.zeros(0, dtype=int)
    inner = np.arange(n)
    if norm is not None:
        alone, inner = (degree == 0).nonzero()[0], (degree > 0).nonzero()[0]
    values, vectors = [np.ones(len(alone))], [np.eye(n)[:, alone[:count]]]
    values[0] = values[0][:count]
    method = "known modes"
    if len(inner):
        part = matrix[inner][:, inner]
        # The modes of eigenvalue 0: on each connected part the roots of degrees, or ones.
        weight = np.ones(len(inner))
        if norm is not None:
            weight = degree[inner]
        parts, label = csgraph.connected_components(part, directed=False)
        lengths = np.bincount(label, weight)
        entries = np.sqrt(weight / lengths[label])
        trivial = csr_array((entries, (np.arange(len(inner)), label)))
        known = trivial[:, :count].toarray()
        wanted = min(count, len(inner)) - known.shape[1]
        if wanted > 0:
            # No eigenvalue of D - A is above twice the largest degree.
            scale = 1.0
            if norm is None and degree.max() > 0:
                scale = 1 / degree.max()
            found = lowest(scale * part, trivial, wanted)
            known = np.hstack((known, found))
            method = f"eigsh of {n} x {n}"
            if is_dense(len(inner), wanted):
                method = f"eigh of {n} x {n}"
        sizes = (known * (part @ known)).sum(0)
        sizes[: min(count, parts)] = 0.0
        placed = np.zeros((n, known.shape[1]))
        placed[inner] = known
        values.append(sizes)
        vectors.append(placed)
    all_values, all_vectors = np.concatenate(values), np.hstack(vectors)
    order = np.argsort(all_values, kind="stable")[:count]
    return all_values[order], all_vectors[:, order], method


def is_dense(num_nodes: int, count: int) -> bool:
    """Whether all eigenvectors are found faster than so many."""
    return num_nodes <= DENSE or 4 * count > num_nodes


def lowest(operator: Any, trivial: Any, count: int) -> Any:
    """Eigenvectors of the smallest eigenvalues of a Laplacian, but for those of eigenvalue 0.

    Args:
        operator: sparse `[N, N]`, with eigenvalues from 0 to 2.
        trivial: sparse `[N, P]`, the eigenvectors of eigenvalue 0, orthonormal.
        count: how many.
    """
    from scipy.sparse import hstack

    n = operator.shape[0]
    if is_dense(n, count):
        # No eigenvalue is above 2: those of the known vectors, moved to 3, come last.
        dense = (operator + 3 * trivial @ trivial.T).toarray()
        return np.linalg.eigh(dense)[1][:, :count]
    apply, found = _first_search(operator, trivial, count)
    # One start may see one vector of a multiple eigenvalue: look beside those found until nothing
    # smaller is left.
    while True:
        known = hstack((trivial, found)).tocsr()
        both = np.hstack((found, _largest(apply, n, 1, known)))
        size = (both * (operator @ both)).sum(0)
        found = both[:, np.argsort(size)[:count]]
        if size[-1] > (1 - 1e-6) * size[:-1].max():
            return found


def _first_search(operator: Any, trivial: Any, count: int) -> tuple[Callable[[Any], Any], Any]:
    """An operator whose largest eigenvalues belong to the smallest of the Laplacian, and the
    eigenvectors that one search finds.
    """
    from scipy.sparse import eye_array, linalg

    n = operator.shape[0]
    apply = (2 * eye_array(n) - operator).dot
    try:
        return apply, _largest(apply, n, count, trivial, maxiter=100)
    except linalg.ArpackNoConvergence:
        smooth = _largest(apply, n, 1, trivial, tol=0.1)
    # Eigenvalues too close together for products alone. Where few edges join large parts, as in
    # meshes, the factors of the Laplacian are sparse, and its inverse pulls them apart.
    if (smooth * (operator @ smooth)).sum() < 0.05:
        shifted = (operator + 1e-6 * eye_array(n)).tocsc()
        options = {"SymmetricMode": True}
        apply = linalg.splu(shifted, permc_spec="MMD_AT_PLUS_A", options=options).solve
    return apply, _largest(apply, n, count, trivial)


def _largest(apply: Callable[[Any], Any], n: int, k: int, known: Any, **options: Any) -> Any:
    """Eigenvectors of the k largest eigenvalues of an operator on what is orthogonal to the known
    vectors.
    """
    from scipy.sparse import linalg

    def rest(x: Any) -> Any:
        return x - known @ (known.T @ x)

    operator = linalg.LinearOperator((n, n), lambda x: rest(apply(rest(x))))
    # The start is fixed: the same graph has the same modes in every run.
    start = np.random.default_rng(0).standard_normal(n)
    return linalg.eigsh(operator, k, which="LA", v0=start, ncv=2 * k + 20, **options)[1]

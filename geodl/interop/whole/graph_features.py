"""Features that are mostly zeros, as bags of words are, and that come again at every call."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from geodl.constants import cached_constants
from geodl.interop.whole.memory import Memory
from geodl.layer import Dropout, Network
from geodl.lowering.differentiable import transforms_active
from geodl.lowering.spmm import remember_columns

KEPT = 4  # features that are remembered
LEAST = 1 << 18  # numbers: below, a dense product is as fast
DENSEST = 0.05  # share of numbers that are not zero


class SparseCopies:
    """Sparse copies of features, by the very tensors: made when one comes for the second time, as
    in training on one graph, never of features that need a gradient.

    A product with a copy reads what is not zero alone: 1.3 % of Cora's.
    """

    def __init__(self):
        self._known = Memory(KEPT)

    def of(self, x: Tensor) -> Tensor:
        """The sparse copy of `[N, C]`, where there is one; else the tensor itself."""
        if x.layout != torch.strided or x.numel() < LEAST or x.requires_grad or x.is_inference():
            return x
        if torch.compiler.is_compiling() or transforms_active():
            return x
        found = self._known.find([x])
        if found is None:
            self._known.keep([x], SEEN)
            return x
        if found is SEEN:
            found = _sparse_copy(x)
            self._known.keep([x], found)
        if found is DENSE:
            return x
        return found


SEEN, DENSE = "seen once", "not worth a copy"


def _sparse_copy(x: Tensor) -> Any:
    with cached_constants(), torch.no_grad(), warnings.catch_warnings():
        if int(torch.count_nonzero(x)) > DENSEST * x.numel():
            return DENSE
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        copy = x.to_sparse_csr()
        remember_columns(copy)
        return copy


def sparse_inputs(network: Network) -> frozenset[str]:
    """The inputs of a network that are read by layers alone which take sparse values."""
    return frozenset([name for name in network.inputs if _is_read_sparse(network, name)])


def _is_read_sparse(network: Network, name: str) -> bool:
    readers = [node for node in network.nodes if name in node.inputs]
    if name in network.outputs or not readers:
        return False
    for node in readers:
        part: Any = None
        if not node.join and len(node.inputs) == 1:
            part = network[node.path]
        if isinstance(part, Dropout):
            takes = _is_read_sparse(network, node.name)
        elif isinstance(part, Network):
            takes = _is_read_sparse(part, part.inputs[0])
        else:
            takes = getattr(part, "takes_sparse", False)
        if not takes:
            return False
    return True


def with_own_dropout(nodes: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """The nodes of a network, with a dropout of ours for each of torch's: it takes sparse values as
    well, and draws its numbers quickly.
    """
    changed = dict(nodes)
    for name, (part, *read) in nodes.items():
        if type(part) in (nn.Dropout, Dropout) and part.p < 1:
            changed[name] = (Dropout(part.p, draws="uniform").train(part.training), *read)
    return changed

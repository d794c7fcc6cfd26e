"""Sets of small graphs, each of a class: MUTAG."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from geodl.data.base import GraphData
from geodl.data.fetch import get
from geodl.domain import Batch, Graph
from geodl.signal import Signal


def mutag() -> GraphData:
    """MUTAG: 188 nitro compounds, 3371 atoms, 7442 directed bonds, and whether each compound causes
    mutations.

    Atoms carry their element, one of 7, and bonds their kind, one of 4, each as a one-hot row:
    `x [1, 3371, 7]`, `edges [1, 7442, 4]`.

    Raises:
        GeodlError: a file is missing everywhere, truncated, or has another SHA-256 than the card
            says.

    Source: Debnath et al., "Structure-Activity Relationship of Mutagenic Aromatic and
    Heteroaromatic Nitro Compounds", 1991; see its card.

    >>> import geodl as g
    >>> data = g.data.mutag()  # doctest: +SKIP
    >>> data.signal.domain, data.labels.bincount().tolist()  # doctest: +SKIP
    (Batch(188 graphs: 3371 nodes, 7442 edges), [63, 125])
    """
    parts = {path.stem: path for path in get("mutag")}
    # Every number in these files counts from 1, but for labels of atoms and bonds.
    ends = _numbers(parts["MUTAG_A"]) - 1
    compound = _numbers(parts["MUTAG_graph_indicator"]) - 1
    atom = one_hot(_numbers(parts["MUTAG_node_labels"]), 7).float()
    bond = one_hot(_numbers(parts["MUTAG_edge_labels"]), 4).float()
    mutagenic = _numbers(parts["MUTAG_graph_labels"]) == 1
    starts = torch.nn.functional.pad(compound.bincount().cumsum(0), (1, 0))
    domain = Batch.from_union(Graph(ends.T, len(compound)), starts)
    return GraphData("mutag", Signal(atom[None], domain, bond[None]), mutagenic.long(), 2)


def _numbers(path: Path) -> Tensor:
    """The integers of a text file, one row a line, columns between commas."""
    return torch.from_numpy(np.loadtxt(path, delimiter=",", dtype=np.int64))

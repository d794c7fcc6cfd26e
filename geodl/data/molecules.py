"""Sets of small graphs, each of a class: MUTAG and PROTEINS; and their folds."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from geodl.data.arguments import check_classes, check_count, check_seed
from geodl.data.base import GraphData
from geodl.data.fetch import get
from geodl.domain import Batch, Graph
from geodl.errors import GeodlError
from geodl.signal import Signal


def mutag() -> GraphData:
    """MUTAG: 188 nitro compounds, 3371 atoms, 7442 directed bonds, and whether each compound causes
    mutations.

    Atoms carry their element, one of 7, and bonds their kind, one of 4, each as a one-hot row:
    `x [1, 3371, 7]`, `edges [1, 7442, 4]`.

    Raises:
        GeodlError: if a file is missing everywhere, is truncated, or has another SHA-256 than its
            card says.

    Source: Debnath et al., "Structure-Activity Relationship of Mutagenic Aromatic and
    Heteroaromatic Nitro Compounds", 1991; see its card.

    >>> import geodl as g
    >>> data = g.data.mutag()  # doctest: +SKIP
    >>> data.signal.domain, data.labels.bincount().tolist()  # doctest: +SKIP
    (Batch(188 graphs: 3371 nodes, 7442 edges), [63, 125])
    """
    parts = {path.stem: path for path in get("mutag")}
    atom = one_hot(_integers(parts["MUTAG_node_labels"]), 7).float()
    bond = one_hot(_integers(parts["MUTAG_edge_labels"]), 4).float()
    mutagenic = _integers(parts["MUTAG_graph_labels"]) == 1
    signal = Signal(atom[None], _union(parts, "MUTAG"), bond[None])
    return GraphData("mutag", signal, mutagenic.long(), 2)


def proteins(*, lengths: bool = False) -> GraphData:
    """PROTEINS: 1113 proteins, 43471 secondary structure elements, 162088 directed edges between
    those that are near each other, and whether each protein is an enzyme.

    Elements carry their kind, one of 3, as a one-hot row: `x [1, 43471, 3]`.

    Args:
        lengths: give their lengths, in amino acids, as a fourth channel.

    Raises:
        GeodlError: as :func:`mutag`.

    Source: Borgwardt et al., "Protein Function Prediction via Graph Kernels", 2005; see its card.

    >>> import geodl as g
    >>> data = g.data.proteins()  # doctest: +SKIP
    >>> data.signal.domain, data.labels.bincount().tolist()  # doctest: +SKIP
    (Batch(1113 graphs: 43471 nodes, 162088 edges), [663, 450])
    """
    parts = {path.stem: path for path in get("proteins")}
    x = one_hot(_integers(parts["PROTEINS_node_labels"]), 3).float()
    if lengths:
        length = np.loadtxt(parts["PROTEINS_node_attributes"], dtype=np.float32)
        x = torch.cat([x, torch.from_numpy(length)[:, None]], dim=1)
    labels = _integers(parts["PROTEINS_graph_labels"]) - 1
    return GraphData("proteins", Signal(x[None], _union(parts, "PROTEINS"), None), labels, 2)


def folds(labels: Tensor, count: int = 10, *, seed: int = 0) -> Tensor:
    """Which fold each example belongs to, every class in proportion: `[D]` numbers 0 to count - 1.

    Args:
        labels: `[D]` int64, the class of each example.
        count: how many folds.
        seed: which examples go where.

    Raises:
        GeodlError: if `labels` is no vector of classes, if a class has fewer examples than there
            are folds, if a number is out of range, or if scikit-learn is not installed.

    >>> import geodl as g
    >>> fold = g.data.folds(torch.tensor([0, 1] * 10), 5)
    >>> fold.bincount().tolist()
    [4, 4, 4, 4, 4]
    """
    asked = f"{count} folds"
    count = check_count(asked, count, least=2)
    seed = check_seed(seed)
    check_classes(asked, labels)
    fewest = int(labels.bincount()[labels.unique()].min())
    if fewest < count:
        found = f"a class of {fewest} examples"
        raise GeodlError(asked, found, "take fewer folds, so that each has every class")
    try:
        from sklearn.model_selection import StratifiedKFold
    except ImportError as error:
        missing = "scikit-learn is not installed"
        raise GeodlError(asked, missing, 'pip install "geodl[data]"') from error
    fold = torch.empty(len(labels), dtype=torch.long)
    splitter = StratifiedKFold(count, shuffle=True, random_state=seed)
    classes = labels.cpu().numpy()
    for number, (_, chosen) in enumerate(splitter.split(classes, classes)):
        fold[torch.from_numpy(chosen)] = number
    return fold


def _union(parts: dict[str, Path], name: str) -> Batch:
    """All graphs of a data set side by side; in its files nodes and graphs count from 1."""
    ends = _integers(parts[f"{name}_A"]) - 1
    member = _integers(parts[f"{name}_graph_indicator"]) - 1
    starts = torch.nn.functional.pad(member.bincount().cumsum(0), (1, 0))
    return Batch.from_union(Graph(ends.T, len(member)), starts)


def _integers(path: Path) -> Tensor:
    """The integers of a text file, one row a line, columns between commas."""
    return torch.from_numpy(np.loadtxt(path, delimiter=",", dtype=np.int64))

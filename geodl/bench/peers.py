"""What several rows need of the libraries beside ours."""

import functools
import importlib
import importlib.util
import os
import warnings
from typing import Any

from torch import Tensor, nn

from geodl.bench.harness import DGL_INSTALL, PEER_INSTALL

SHEETS = 4  # elements of C4


@functools.cache
def dgl_missing() -> str:
    """Why DGL cannot be a peer here ("" when it can)."""
    if importlib.util.find_spec("dgl") is None:
        return f"DGL is not installed: {DGL_INSTALL}"
    try:
        dgl()
    except Exception as error:  # it was compiled for older releases of torch
        return f"DGL does not load ({type(error).__name__}: {error}): {DGL_INSTALL}"
    return ""


def dgl() -> Any:
    """DGL with its layers (`dgl().nn.pytorch`), without the warnings of its old calls to torch."""
    # Where nobody says which library it shall use, DGL writes a file into the user's home.
    os.environ.setdefault("DGLBACKEND", "pytorch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("dgl.nn.pytorch")
        return importlib.import_module("dgl")


def dgl_graph(edge_index: Tensor, num_nodes: int) -> Any:
    """DGL's graph of the same edges (row 0 sends, row 1 receives), with all that its kernels need
    made before: 32-bit numbers, sorted by sender and by receiver.
    """
    graph = dgl().graph((edge_index[0], edge_index[1]), num_nodes=num_nodes)
    graph = graph.int()
    graph.create_formats_()
    return graph


@functools.cache
def escnn_missing() -> str:
    """Why escnn cannot be a peer here ("" when it can)."""
    if importlib.util.find_spec("escnn") is None:
        return f"escnn is not installed: {PEER_INSTALL}"
    try:
        escnn()
    except Exception as error:  # its compiled parts fail in many ways
        return f"escnn does not load ({type(error).__name__}: {error}): {PEER_INSTALL}"
    return ""


def escnn() -> Any:
    """`escnn.nn`, without the warnings of its optional parts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import escnn.nn

        return escnn.nn


def regular(fields: int, turns: int = SHEETS) -> Any:
    """escnn's type of so many regular fields of C(turns) on the plane."""
    from escnn.gspaces import rot2dOnR2

    space = rot2dOnR2(turns)
    return escnn().FieldType(space, fields * [space.regular_repr])


def trivial() -> Any:
    """escnn's type of one scalar field of C4 on the plane."""
    from escnn.gspaces import rot2dOnR2

    space = rot2dOnR2(SHEETS)
    return escnn().FieldType(space, [space.trivial_repr])


def fields_of(x: Tensor, side: int) -> Tensor:
    """Values `[B, side * side * 4, C]` as escnn's planes `[B, C * 4, side, side]`."""
    b, _, c = x.shape
    fields_first = x.reshape(b, side, side, SHEETS, c).permute(0, 4, 3, 1, 2)
    return fields_first.reshape(b, c * SHEETS, side, side)


def values_of(planes: Tensor) -> Tensor:
    """The inverse of :func:`fields_of`."""
    b, c, *sides = planes.shape
    nodes_first = planes.reshape(b, c // SHEETS, SHEETS, *sides).permute(0, 3, 4, 2, 1)
    return nodes_first.reshape(b, -1, c // SHEETS)


def gin_parts(channels: int, hidden: int, classes: int) -> tuple[nn.ModuleList, nn.Sequential]:
    """PyG's three layers of a GIN (Xu et al., "How Powerful are Graph Neural Networks?", 2019), and
    the perceptron that reads the sums over each graph.
    """
    from torch_geometric.nn import GINConv

    layers = nn.ModuleList()
    for width in (channels, hidden, hidden):
        perceptron = nn.Sequential(
            nn.Linear(width, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
        )
        layers.append(GINConv(perceptron))
    head = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes))
    return layers, head

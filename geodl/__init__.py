"""geodl: one message-passing layer on grids, chains, complete graphs, graphs and groups.

>>> import torch
>>> import geodl as g
>>> layer = g.Conv(1, 8, g.window(3))
>>> layer(g.Signal.image(torch.zeros(2, 1, 28, 28))).to_image().shape
torch.Size([2, 8, 28, 28])
"""

import importlib
from typing import Any

from geodl.collector import older_objects_frozen

# To look for garbage among torch's objects would take most of the import's time.
with older_objects_frozen():
    from geodl.domain import Batch, Chain, Complete, Domain, Graph, Grid, GroupGrid, GSet, Spectrum
    from geodl.errors import GeodlError
    from geodl.group import C, D, Group, O, Oh, S
    from geodl.layer import (
        Attention,
        BatchNorm,
        Concat,
        Conv,
        Cross,
        Dropout,
        EdgeUpdate,
        Embedding,
        EncoderDecoder,
        Event,
        Explanation,
        Filter,
        FinalState,
        FromState,
        GroupNorm,
        InstanceNorm,
        LaplacianPositions,
        Layer,
        LearnedPositions,
        LocalResponseNorm,
        Message,
        Network,
        Pointwise,
        Pool,
        Propagate,
        Readout,
        Recurrent,
        Residual,
        Restrict,
        Sequential,
        SinusoidalPositions,
        TopK,
        explain,
        prepare,
        set_lowering,
        sizes,
        trace,
    )
    from geodl.neighborhood import (
        Edges,
        Neighborhood,
        adjacency,
        all_pairs,
        fiber,
        full_or_adjacency,
        gabor,
        gaussian_derivatives,
        harmonics,
        isotropic,
        itself,
        laplacian,
        lift,
        past,
        polynomial,
        predecessors,
        previous,
        relation,
        restriction,
        wavelets,
        whole,
        window,
    )
    from geodl.signal import Signal, collate, knn
    from geodl.spectrum import (
        Modes,
        band_pass,
        fourier,
        fourier_inverse,
        heat,
        mexican_hat,
        meyer,
        modes,
        spectrum,
    )
    from geodl.symmetry import Certificate, certify, equivariance_error, orbits, symmetrize

__version__ = "0.1.0"

ON_FIRST_USE = ("bench", "data", "inspection", "interop", "models", "testing", "train", "viz")


def __getattr__(name: str) -> Any:
    if name in ON_FIRST_USE:
        return importlib.import_module(f"geodl.{name}")
    raise AttributeError(f"module 'geodl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *ON_FIRST_USE])


__all__ = [
    "Attention",
    "Batch",
    "BatchNorm",
    "C",
    "Certificate",
    "Chain",
    "Complete",
    "Concat",
    "Conv",
    "Cross",
    "D",
    "Domain",
    "Dropout",
    "EdgeUpdate",
    "Edges",
    "Embedding",
    "EncoderDecoder",
    "Event",
    "Explanation",
    "Filter",
    "FinalState",
    "FromState",
    "GSet",
    "GeodlError",
    "Graph",
    "Grid",
    "Group",
    "GroupGrid",
    "GroupNorm",
    "InstanceNorm",
    "LaplacianPositions",
    "Layer",
    "LearnedPositions",
    "LocalResponseNorm",
    "Message",
    "Modes",
    "Neighborhood",
    "Network",
    "O",
    "Oh",
    "Pointwise",
    "Pool",
    "Propagate",
    "Readout",
    "Recurrent",
    "Residual",
    "Restrict",
    "S",
    "Sequential",
    "Signal",
    "SinusoidalPositions",
    "Spectrum",
    "TopK",
    "adjacency",
    "all_pairs",
    "band_pass",
    "certify",
    "collate",
    "equivariance_error",
    "explain",
    "fiber",
    "fourier",
    "fourier_inverse",
    "full_or_adjacency",
    "gabor",
    "gaussian_derivatives",
    "harmonics",
    "heat",
    "isotropic",
    "itself",
    "knn",
    "laplacian",
    "lift",
    "mexican_hat",
    "meyer",
    "modes",
    "orbits",
    "past",
    "polynomial",
    "predecessors",
    "prepare",
    "previous",
    "relation",
    "restriction",
    "set_lowering",
    "sizes",
    "spectrum",
    "symmetrize",
    "trace",
    "wavelets",
    "whole",
    "window",
]

"""Domains: where signals live. DOMAINS lists every kind; a new one is a file and an entry here."""

import torch

from geodl.domain.base import (
    Domain,
    Links,
    Selection,
    TensorDomain,
    memo,
    same_place,
    told_apart,
)
from geodl.domain.batch import Batch
from geodl.domain.chain import Chain
from geodl.domain.complete import Complete
from geodl.domain.graph import Graph
from geodl.domain.grid import Grid, GroupGrid
from geodl.domain.gset import GSet
from geodl.domain.lattice import coordinates, ravel, rotate_nodes, shift_nodes, turn_domain
from geodl.domain.spectrum import LAPLACIAN_NORMS, Spectrum
from geodl.group import Cosets, Group

DOMAINS: tuple[type[Domain], ...] = (Grid, Chain, Complete, Graph, GroupGrid, GSet, Batch, Spectrum)

# Files of signals are read under torch.load's default, which builds no class it was not told of.
torch.serialization.add_safe_globals([*DOMAINS, Group, Cosets])

__all__ = [
    "DOMAINS",
    "LAPLACIAN_NORMS",
    "Batch",
    "Chain",
    "Complete",
    "Domain",
    "GSet",
    "Graph",
    "Grid",
    "GroupGrid",
    "Links",
    "Selection",
    "Spectrum",
    "TensorDomain",
    "coordinates",
    "memo",
    "ravel",
    "rotate_nodes",
    "same_place",
    "shift_nodes",
    "told_apart",
    "turn_domain",
]

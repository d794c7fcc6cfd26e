"""Domains: where signals live. DOMAINS lists every kind; a new one is a file and an entry here."""

from geodl.domain.action import rotate_nodes, shift_nodes
from geodl.domain.base import Complete, Domain, Links, TensorDomain, coordinates, ravel
from geodl.domain.batch import Batch
from geodl.domain.chain import Chain
from geodl.domain.graph import Graph
from geodl.domain.grid import Grid, GroupGrid
from geodl.domain.gset import GSet

DOMAINS: tuple[type[Domain], ...] = (Grid, Chain, Complete, Graph, GroupGrid, GSet, Batch)

__all__ = [
    "DOMAINS",
    "Batch",
    "Chain",
    "Complete",
    "Domain",
    "GSet",
    "Graph",
    "Grid",
    "GroupGrid",
    "Links",
    "TensorDomain",
    "coordinates",
    "ravel",
    "rotate_nodes",
    "shift_nodes",
]

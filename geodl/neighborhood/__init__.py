"""Neighborhoods: rules for who receives from whom, independent of size."""

from geodl.neighborhood.all_pairs import all_pairs
from geodl.neighborhood.base import Neighborhood, Symmetry
from geodl.neighborhood.edges import Edges
from geodl.neighborhood.either import full_or_adjacency
from geodl.neighborhood.graph import adjacency, predecessors
from geodl.neighborhood.laplacian import laplacian
from geodl.neighborhood.order import past, previous
from geodl.neighborhood.pointwise import itself
from geodl.neighborhood.pooling import fiber, whole
from geodl.neighborhood.structure import Blocks, Everyone, Shift, Stencil, Structure
from geodl.neighborhood.window import isotropic, lift, window

__all__ = [
    "Blocks",
    "Edges",
    "Everyone",
    "Neighborhood",
    "Shift",
    "Stencil",
    "Structure",
    "Symmetry",
    "adjacency",
    "all_pairs",
    "fiber",
    "full_or_adjacency",
    "isotropic",
    "itself",
    "laplacian",
    "lift",
    "past",
    "predecessors",
    "previous",
    "whole",
    "window",
]

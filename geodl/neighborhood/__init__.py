"""Neighborhoods: rules for who hears whom, independent of size."""

from geodl.neighborhood.base import Edges, Neighborhood, Stencil, Symmetry
from geodl.neighborhood.either import full_or_adjacency
from geodl.neighborhood.graph import adjacency, predecessors
from geodl.neighborhood.order import past, previous
from geodl.neighborhood.pairs import all_pairs, fiber, itself, whole
from geodl.neighborhood.window import isotropic, lift, window

__all__ = [
    "Edges",
    "Neighborhood",
    "Stencil",
    "Symmetry",
    "adjacency",
    "all_pairs",
    "fiber",
    "full_or_adjacency",
    "isotropic",
    "itself",
    "lift",
    "past",
    "predecessors",
    "previous",
    "whole",
    "window",
]

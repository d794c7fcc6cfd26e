"""Neighborhoods: rules for who receives from whom, independent of size."""

import torch

from geodl.neighborhood.all_pairs import AllPairs, all_pairs
from geodl.neighborhood.base import Neighborhood, Symmetry
from geodl.neighborhood.edges import Edges
from geodl.neighborhood.either import FullOrAdjacency, full_or_adjacency
from geodl.neighborhood.filter_basis import (
    FilterBasis,
    Gabor,
    GaussianDerivatives,
    Sampled,
    gabor,
    gaussian_derivatives,
    wavelets,
)
from geodl.neighborhood.graph import Adjacency, adjacency, predecessors
from geodl.neighborhood.harmonics import Harmonics, Ring, Rings, harmonics
from geodl.neighborhood.laplacian import Laplacian, laplacian
from geodl.neighborhood.linked import Linked
from geodl.neighborhood.order import Past, Previous, past, previous
from geodl.neighborhood.pointwise import Itself, itself
from geodl.neighborhood.polynomial import PolynomialOf, polynomial
from geodl.neighborhood.pooling import Fiber, Whole, fiber, whole
from geodl.neighborhood.relation import Relation, relation
from geodl.neighborhood.restriction import Restriction, restriction
from geodl.neighborhood.reversed import Reversed
from geodl.neighborhood.sheets import OneOfEach, SheetEdges
from geodl.neighborhood.structure import (
    Blocks,
    Everyone,
    Polynomial,
    Segments,
    Shift,
    Stencil,
    Structure,
)
from geodl.neighborhood.window import Window, isotropic, lift, window

RULES = (
    Adjacency,
    AllPairs,
    Fiber,
    FullOrAdjacency,
    Itself,
    Laplacian,
    Past,
    PolynomialOf,
    Previous,
    Relation,
    Restriction,
    Reversed,
    Whole,
    Window,
)
BASES = (Gabor, GaussianDerivatives, Harmonics, Ring, Rings, Sampled)
# torch.load's safe default builds no class that it was not told of.
torch.serialization.add_safe_globals([*RULES, *BASES])

__all__ = [
    "Blocks",
    "Edges",
    "Everyone",
    "FilterBasis",
    "Linked",
    "Neighborhood",
    "OneOfEach",
    "Polynomial",
    "Segments",
    "SheetEdges",
    "Shift",
    "Stencil",
    "Structure",
    "Symmetry",
    "adjacency",
    "all_pairs",
    "fiber",
    "full_or_adjacency",
    "gabor",
    "gaussian_derivatives",
    "harmonics",
    "isotropic",
    "itself",
    "laplacian",
    "lift",
    "past",
    "polynomial",
    "predecessors",
    "previous",
    "relation",
    "restriction",
    "wavelets",
    "whole",
    "window",
]

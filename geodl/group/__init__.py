"""Finite groups by value, their action on space, and orbits of nodes and of pairs of nodes."""

from geodl.group.action import Action
from geodl.group.cosets import Cosets
from geodl.group.named import C, D, O, Oh, S
from geodl.group.orbits import edge_orbits, node_orbits, pair_orbits
from geodl.group.tables import Tables
from geodl.group.value import EXACT, Group

__all__ = [
    "EXACT",
    "Action",
    "C",
    "Cosets",
    "D",
    "Group",
    "O",
    "Oh",
    "S",
    "Tables",
    "edge_orbits",
    "node_orbits",
    "pair_orbits",
]

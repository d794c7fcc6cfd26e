"""Finite groups by value, their action on space, and orbits of nodes and of pairs of nodes."""

from geodl.group.action import Action
from geodl.group.cosets import Cosets
from geodl.group.counting import in_words
from geodl.group.named import C, D, O, Oh, S
from geodl.group.orbits import edge_orbits, node_orbits, pair_orbits
from geodl.group.tables import Tables
from geodl.group.value import EXACT, MOST_ELEMENTS, Group

__all__ = [
    "EXACT",
    "MOST_ELEMENTS",
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
    "in_words",
    "node_orbits",
    "pair_orbits",
]

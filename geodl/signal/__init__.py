"""Signals: values on the nodes of a domain, and how torch moves, collates and saves them."""

import torch

from geodl.signal import tree as tree
from geodl.signal.base import Signal
from geodl.signal.collate import collate, in_groups, select_members, stand_beside
from geodl.signal.nearest import knn

# Files of signals are read under torch.load's default, which builds no class it was not told of.
torch.serialization.add_safe_globals([Signal])

__all__ = ["Signal", "collate", "in_groups", "knn", "select_members", "stand_beside"]

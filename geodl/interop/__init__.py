"""Weights both ways: modules of torch.nn, PyG and escnn as layers over our lowerings, and back.

A *twin* is the module of the other library that computes the same numbers as a layer.
"""

from geodl.interop.doors import from_torch, to_torch
from geodl.interop.escnn import from_escnn, to_escnn
from geodl.interop.escnn_package import building_escnn
from geodl.interop.hetero import HeteroGraph, from_hetero
from geodl.interop.mask import over
from geodl.interop.pyg import from_pyg, to_pyg
from geodl.interop.state import load_torch_state, torch_state

__all__ = [
    "HeteroGraph",
    "building_escnn",
    "from_escnn",
    "from_hetero",
    "from_pyg",
    "from_torch",
    "load_torch_state",
    "over",
    "to_escnn",
    "to_pyg",
    "to_torch",
    "torch_state",
]

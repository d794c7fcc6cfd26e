"""Weights both ways: modules of torch.nn and PyG as layers over our lowerings, and back."""

from geodl.interop.pyg import from_pyg, to_pyg
from geodl.interop.registry import from_torch, to_torch

__all__ = ["from_pyg", "from_torch", "to_pyg", "to_torch"]

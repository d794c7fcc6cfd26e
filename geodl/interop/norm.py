"""Normalisation."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.conversion import with_parameters
from geodl.interop.converters import converts
from geodl.layer import BatchNorm

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@converts(*BATCH_NORMS, reads="second")
def from_batch_norm(module: Any, on: Domain | None) -> BatchNorm:
    """`nn.BatchNorm1d/2d/3d` as a `BatchNorm`, which takes any number of axes."""
    layer = BatchNorm(
        module.num_features,
        eps=module.eps,
        momentum=module.momentum,
        affine=module.affine,
        track_running_stats=module.track_running_stats,
        on=on,
    )
    _copy_statistics(layer, module)
    return with_parameters(layer, module, weight=module.weight, bias=module.bias)


@converts(BatchNorm, back="torch", form="nodes of a Grid, or of one axis")
def to_batch_norm(layer: BatchNorm, on: Domain | None) -> nn.Module:
    """The inverse of :func:`from_batch_norm`: for as many axes as the domain's lattice has, for one
    without a domain.
    """
    lattice = getattr(on, "lattice", None) or (0,)
    return with_axes(layer, len(lattice))


def with_axes(norm: Any, axes: int) -> nn.Module:
    """The same batch norm of torch for another number of axes."""
    kind: Any = BATCH_NORMS[axes - 1]
    twin = kind(
        norm.num_features,
        eps=norm.eps,
        momentum=norm.momentum,
        affine=norm.affine,
        track_running_stats=norm.track_running_stats,
    )
    _copy_statistics(twin, norm)
    return with_parameters(twin, norm, weight=norm.weight, bias=norm.bias)


def _copy_statistics(new: Any, old: Any) -> None:
    for name in STATISTICS:
        value = getattr(old, name)
        if value is not None:
            value = value.detach().clone()
        setattr(new, name, value)


@converts(F.layer_norm)
def from_layer_norm(
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> nn.LayerNorm:
    """`F.layer_norm` without parameters, or with those of the model, along the last axis."""
    shape = tuple(normalized_shape)
    if len(shape) != 1 or (weight is None and bias is not None):
        raise GeodlError("F.layer_norm", f"the shape {list(shape)}", "normalise the last axis")
    norm = nn.LayerNorm(shape[0], eps, weight is not None, bias is not None)
    return with_parameters(norm, norm, weight=weight, bias=bias)

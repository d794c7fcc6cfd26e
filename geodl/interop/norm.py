"""Normalisation."""

from typing import Any

from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.conversion import with_parameters
from geodl.interop.converters import converts
from geodl.layer import BatchNorm, GroupNorm, InstanceNorm, LocalResponseNorm

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@converts(*BATCH_NORMS, reads="second")
def from_batch_norm(module: Any, on: Domain | None) -> BatchNorm:
    """`nn.BatchNorm1d/2d/3d` as a `BatchNorm`, which takes any number of axes."""
    return tracking_norm(BatchNorm, module, on)


@converts(BatchNorm, back="torch", form="nodes of a Grid, or of one axis")
def to_batch_norm(layer: BatchNorm, on: Domain | None) -> nn.Module | None:
    """The inverse of :func:`from_batch_norm`: for as many axes as the domain's lattice has, for one
    without a domain; None of a fiber, whose planes are more than the channels.
    """
    if on is not None and on.fiber is not None:
        return None
    return with_axes(layer, _count_axes(on))


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
    copy_statistics(twin, norm)
    return with_parameters(twin, norm, weight=norm.weight, bias=norm.bias)


@converts(*INSTANCE_NORMS, reads="planes")
def from_instance_norm(module: Any, on: Domain | None) -> InstanceNorm:
    """`nn.InstanceNorm1d/2d/3d` as an `InstanceNorm`, which takes any number of axes."""
    return tracking_norm(InstanceNorm, module, on)


@converts(InstanceNorm, back="torch", form="nodes of a Grid, or of one axis")
def to_instance_norm(layer: InstanceNorm, on: Domain | None) -> nn.Module | None:
    """The inverse of :func:`from_instance_norm`, for the axes of a domain as batch norms."""
    if on is not None and on.fiber is not None:
        return None
    kind: Any = INSTANCE_NORMS[_count_axes(on) - 1]
    twin = kind(
        layer.channels_in,
        eps=layer.eps,
        momentum=layer.momentum,
        affine=layer.weight is not None,
        track_running_stats=layer.running_mean is not None,
    )
    copy_statistics(twin, layer)
    return with_parameters(twin, layer, weight=layer.weight, bias=layer.bias)


@converts(nn.GroupNorm, reads="planes")
def from_group_norm(module: nn.GroupNorm, on: Domain | None) -> GroupNorm:
    """`nn.GroupNorm` as a `GroupNorm`."""
    groups, channels = module.num_groups, module.num_channels
    layer = GroupNorm(groups, channels, eps=module.eps, affine=module.affine, on=on)
    return with_parameters(layer, module, weight=module.weight, bias=module.bias)


@converts(GroupNorm, back="torch", form="any domain")
def to_group_norm(layer: GroupNorm, on: Domain | None) -> nn.GroupNorm | None:
    """The inverse of :func:`from_group_norm`."""
    if on is not None and on.fiber is not None:
        return None
    affine = layer.weight is not None
    twin = nn.GroupNorm(layer.num_groups, layer.channels_in, layer.eps, affine)
    return with_parameters(twin, layer, weight=layer.weight, bias=layer.bias)


@converts(nn.LocalResponseNorm, reads="second")
def from_local_response_norm(module: nn.LocalResponseNorm, on: Domain | None) -> LocalResponseNorm:
    """`nn.LocalResponseNorm` as a `LocalResponseNorm`."""
    numbers = {"alpha": module.alpha, "beta": module.beta, "k": module.k}
    return LocalResponseNorm(module.size, on=on, **numbers).train(module.training)


@converts(LocalResponseNorm, back="torch", form="nodes without a fiber")
def to_local_response_norm(
    layer: LocalResponseNorm, on: Domain | None
) -> nn.LocalResponseNorm | None:
    """The inverse of :func:`from_local_response_norm`."""
    if on is not None and on.fiber is not None:
        return None
    twin = nn.LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k)
    return twin.train(layer.training)


def tracking_norm(kind: Any, module: Any, on: Domain | None) -> Any:
    """A norm of torch that may keep running statistics, as a layer of the given kind."""
    layer = kind(
        module.num_features,
        eps=module.eps,
        momentum=module.momentum,
        affine=module.affine,
        track_running_stats=module.track_running_stats,
        on=on,
    )
    copy_statistics(layer, module)
    return with_parameters(layer, module, weight=module.weight, bias=module.bias)


def _count_axes(on: Domain | None) -> int:
    """The axes of a domain's lattice; one where there is no lattice."""
    return len(getattr(on, "lattice", None) or (0,))


def copy_statistics(new: Any, old: Any) -> None:
    """Give a norm copies of the running statistics of another one."""
    for name in STATISTICS:
        value = getattr(old, name)
        if value is not None:
            value = value.detach().clone()
        setattr(new, name, value)


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

"""Norms as functions that are given the model's own parameters, as layers."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from geodl.interop.converters import converts
from geodl.interop.functional import filled, held
from geodl.interop.joint_norm import along_last, joint_norm
from geodl.interop.norm import (
    from_batch_norm,
    from_group_norm,
    from_instance_norm,
    from_layer_norm,
    from_local_response_norm,
)
from geodl.interop.whole.values import Call, Value


@converts(F.layer_norm, traced=True)
def convert_layer_norm(build: Any, call: Call) -> Any:
    """`F.layer_norm(x, shape, weight, bias)` along the last axis, or over all nodes."""
    names = ("input", "normalized_shape", "weight", "bias", "eps")
    value, shape, weight, bias, eps = call.given(*names, weight=None, bias=None, eps=1e-5)
    tensors = held(build, weight, bias)
    if tensors is None or not isinstance(value, Value):
        return None
    read = along_last(build, value) if len(shape) == 1 else None
    if read is None:
        return joint_norm(build, call, value, shape, tensors, eps)
    weight, bias = tensors
    make = partial(from_layer_norm, shape, weight, bias, eps)
    norm = _shared(build, {"weight": weight, "bias": bias}, ("layer norm", eps), make)
    return build.apply(call.name, norm, read, call.example)


@converts(F.rms_norm, torch.rms_norm, traced=True)
def convert_rms_norm(build: Any, call: Call) -> Any:
    """`F.rms_norm(x, shape, weight)` along the last axis, or over all nodes."""
    names = ("input", "normalized_shape", "weight", "eps")
    value, shape, weight, eps = call.given(*names, weight=None, eps=None)
    tensors = held(build, weight)
    if tensors is None or not isinstance(value, Value):
        return None
    (weight,) = tensors
    read = along_last(build, value) if len(shape) == 1 else None
    if read is None:
        return joint_norm(build, call, value, shape, [weight, None], eps, "rms")

    def make() -> Any:
        lengths: Any = tuple(shape)
        return filled(nn.RMSNorm(lengths, eps, weight is not None), weight=weight)

    norm = _shared(build, {"weight": weight}, ("rms norm", eps), make)
    return build.apply(call.name, norm, read, call.example)


@converts(F.group_norm, torch.group_norm, traced=True)
def convert_group_norm(build: Any, call: Call) -> Any:
    """`F.group_norm(x, groups, weight, bias)`."""
    names = ("input", "num_groups", "weight", "bias", "eps", "cudnn_enabled")
    defaults = {"weight": None, "bias": None, "eps": 1e-5, "cudnn_enabled": True}
    value, groups, weight, bias, eps, _ = call.given(*names, **defaults)
    tensors = held(build, weight, bias)
    if tensors is None or not isinstance(value, Value) or (weight is None) != (bias is None):
        return None
    weight, bias = tensors
    channels = value.tensor.shape[1]

    def make() -> Any:
        twin = nn.GroupNorm(groups, channels, eps, affine=weight is not None)
        return from_group_norm(filled(twin, weight=weight, bias=bias), None)

    norm = _shared(build, {"weight": weight, "bias": bias}, ("group norm", groups, eps), make)
    return build.apply(call.name, norm, build.read(value, "planes"), call.example)


@converts(F.instance_norm, traced=True, modes=True)
def convert_instance_norm(build: Any, call: Call) -> Any:
    """`F.instance_norm(x)` by the statistics of each image itself."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "use_input_stats")
    defaults = {**dict.fromkeys(names[1:5]), "use_input_stats": True}
    given = call.given(*names, "momentum", "eps", **defaults, momentum=0.1, eps=1e-5)
    value, mean, var, weight, bias, by_itself, momentum, eps = given
    tensors = held(build, weight, bias)
    if tensors is None or not isinstance(value, Value) or (weight is None) != (bias is None):
        return None
    if mean is not None or var is not None or by_itself is not True or call.in_training:
        return None
    weight, bias = tensors
    channels = value.tensor.shape[1]

    def make() -> Any:
        twin = nn.InstanceNorm1d(channels, eps, momentum, affine=weight is not None)
        return from_instance_norm(filled(twin, weight=weight, bias=bias), None)

    norm = _shared(build, {"weight": weight, "bias": bias}, ("instance norm", eps), make)
    return build.apply(call.name, norm, build.read(value, "planes"), call.example)


@converts(F.local_response_norm, traced=True)
def convert_local_response_norm(build: Any, call: Call) -> Any:
    """`F.local_response_norm(x, size)`."""
    names = ("input", "size", "alpha", "beta", "k")
    value, size, alpha, beta, k = call.given(*names, alpha=1e-4, beta=0.75, k=1.0)
    if not isinstance(value, Value):
        return None
    norm = from_local_response_norm(nn.LocalResponseNorm(size, alpha, beta, k), None)
    return build.apply(call.name, norm, build.read(value, "second"), call.example)


@converts(F.batch_norm, traced=True, modes=True)
def convert_batch_norm(build: Any, call: Call) -> Any:
    """`F.batch_norm(x, mean, var, weight, bias, training=self.training)`, traced in evaluation."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum")
    defaults = {"weight": None, "bias": None, "training": False, "momentum": 0.1, "eps": 1e-5}
    value, mean, var, weight, bias, training, momentum, eps = call.given(*names, "eps", **defaults)
    tensors = held(build, mean, var, weight, bias)
    if tensors is None or training or not isinstance(value, Value) or tensors[0] is None:
        return None
    learnt = call.while_training().given(*names, "eps", **defaults)
    if [*learnt[5:]] != [True, momentum, eps]:
        # Running statistics in training too: no batch norm does that.
        return None
    make = partial(_norm, tensors, momentum, eps)
    named = dict(zip(("running_mean", "running_var", "weight", "bias"), tensors, strict=True))
    layer = build.shared(named, ("batch norm", momentum, eps), make)
    return build.apply(call.name, layer, build.read(value, "second"), call.example)


def _shared(
    build: Any, named: dict[str, Any], key: tuple[Any, ...], make: Callable[[], Any]
) -> Any:
    """The norm of some parameters, the same wherever they are given; without any, one of its own.

    Args:
        build: the import.
        named: the parameters by their names, None for those that are not given.
        key: what else tells norms of the same parameters apart.
        make: makes the norm.
    """
    if named["weight"] is None:
        return make()
    return build.shared(named, key, make)


def _norm(tensors: list[Any], momentum: float, eps: float) -> Any:
    """A batch norm with statistics and parameters of a model."""
    mean, var, weight, bias = tensors
    twin: Any = nn.BatchNorm1d(len(mean), eps, momentum, weight is not None)
    twin.running_mean, twin.running_var = mean.detach().clone(), var.detach().clone()
    twin.num_batches_tracked = twin.num_batches_tracked.to(mean.device)
    if weight is not None:
        filled(twin, weight=weight, bias=bias)
    return from_batch_norm(twin, None)

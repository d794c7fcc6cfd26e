"""escnn's modules beside convolutions: norms, pointwise functions, pooling, dropout, masks."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.conv import even_padding
from geodl.interop.conversion import with_parameters
from geodl.interop.converters import converts
from geodl.interop.escnn_conv import Place, fields_of
from geodl.interop.escnn_mask import Mask
from geodl.interop.escnn_package import escnn_modules
from geodl.interop.norm import copy_statistics, tracking_norm
from geodl.interop.padding import mode_of, with_mode
from geodl.interop.pooling import AdaptivePool, max_pool, mean_pool, to_pool
from geodl.layer import BatchNorm, Dropout, Layer, Pool, Propagate, Sequential
from geodl.neighborhood import fiber, window

FUNCTIONS: dict[Any, Any] = {
    F.relu: nn.ReLU,
    F.elu: nn.ELU,
    F.sigmoid: nn.Sigmoid,
    F.tanh: nn.Tanh,
}
NAMES = {nn.Sigmoid: "p_sigmoid", nn.Tanh: "p_tanh"}


@converts("escnn.InnerBatchNorm")
def from_inner_batch_norm(module: Any, on: Domain | None) -> BatchNorm:
    """`InnerBatchNorm`, whose statistics are taken over a field's planes too, as a `BatchNorm`."""
    norm = getattr(module, f"batch_norm_[{module.in_type.representations[0].size}]")
    return tracking_norm(BatchNorm, norm, on)


@converts(BatchNorm, back="escnn", form="fields of one kind")
def to_inner_batch_norm(layer: BatchNorm, place: Place) -> nn.Module:
    """The inverse of :func:`from_inner_batch_norm`."""
    _, layers = escnn_modules()
    twin = layers.InnerBatchNorm(
        place.kind,
        eps=layer.eps,
        momentum=layer.momentum,
        affine=layer.affine,
        track_running_stats=layer.track_running_stats,
    )
    norm = getattr(twin, f"batch_norm_[{place.kind.representations[0].size}]")
    copy_statistics(norm, layer)
    with_parameters(norm, layer, weight=layer.weight, bias=layer.bias)
    return twin


@converts("escnn.ReLU")
def from_relu(module: Any, on: Domain | None) -> nn.Module:
    """`ReLU`, in place or not."""
    return nn.ReLU()


@converts("escnn.ELU")
def from_elu(module: Any, on: Domain | None) -> nn.Module:
    """`ELU`, in place or not."""
    return nn.ELU(module.alpha)


@converts("escnn.LeakyReLU")
def from_leaky_relu(module: Any, on: Domain | None) -> nn.Module:
    """`LeakyReLU`, in place or not."""
    return nn.LeakyReLU(module._negative_slope)


@converts("escnn.PointwiseNonLinearity")
def from_nonlinearity(module: Any, on: Domain | None) -> nn.Module:
    """`PointwiseNonLinearity` as the module of its function."""
    return FUNCTIONS[module._function]()


@converts("escnn.IdentityModule")
def from_identity(module: Any, on: Domain | None) -> nn.Module:
    """`IdentityModule` as `nn.Identity`."""
    return nn.Identity()


@converts("escnn.PointwiseDropout")
def from_dropout(module: Any, on: Domain | None) -> nn.Module:
    """`PointwiseDropout`, which drops each number alone, as `nn.Dropout`."""
    return nn.Dropout(module.p)


@converts(nn.ReLU, nn.ELU, nn.LeakyReLU, back="escnn", form="fields of one kind")
def to_rectifier(layer: Any, place: Place) -> nn.Module:
    """`nn.ReLU`, `nn.ELU` and `nn.LeakyReLU` as escnn's of the same name."""
    _, layers = escnn_modules()
    if isinstance(layer, nn.ReLU):
        return layers.ReLU(place.kind, inplace=layer.inplace)
    if isinstance(layer, nn.ELU):
        return layers.ELU(place.kind, alpha=layer.alpha, inplace=layer.inplace)
    return layers.LeakyReLU(place.kind, layer.negative_slope, inplace=layer.inplace)


@converts(nn.Sigmoid, nn.Tanh, back="escnn", form="fields of one kind")
def to_nonlinearity(layer: nn.Module, place: Place) -> nn.Module:
    """The inverse of :func:`from_nonlinearity`."""
    _, layers = escnn_modules()
    return layers.PointwiseNonLinearity(place.kind, NAMES[type(layer)])


@converts(nn.Identity, back="escnn", form="fields of one kind")
def to_identity(layer: nn.Module, place: Place) -> nn.Module:
    """The inverse of :func:`from_identity`."""
    _, layers = escnn_modules()
    return layers.IdentityModule(place.kind)


@converts(nn.Dropout, Dropout, back="escnn", form="fields of one kind")
def to_dropout(layer: Any, place: Place) -> nn.Module:
    """The inverse of :func:`from_dropout`, for layers of ours, too."""
    _, layers = escnn_modules()
    return layers.PointwiseDropout(place.kind, layer.p, getattr(layer, "inplace", False))


@converts("escnn.PointwiseMaxPool2D")
def from_max_pool(module: Any, on: Domain | None) -> Layer:
    """`PointwiseMaxPool` as a `Pool`."""
    return max_pool(
        2,
        module.kernel_size,
        module.stride,
        module.padding,
        module.dilation,
        module.ceil_mode,
    )


@converts("escnn.PointwiseAvgPool2D")
def from_mean_pool(module: Any, on: Domain | None) -> Layer:
    """`PointwiseAvgPool` as a `Pool`, or one and a division."""
    return mean_pool(2, module.kernel_size, module.stride, module.padding, module.ceil_mode)


@converts("escnn.PointwiseMaxPoolAntialiased2D")
def from_antialiased_max_pool(module: Any, on: Domain | None) -> Layer:
    """`PointwiseMaxPoolAntialiased`: the maximum over each window, then a Gaussian blur with
    strides (Zhang, "Making Convolutional Networks Shift-Invariant Again", 2019).
    """
    dense = max_pool(2, module.kernel_size, 1, module.padding, module.dilation)
    return Sequential(dense, _blur(module.filter, module.stride, module._pad))


@converts("escnn.PointwiseAvgPoolAntialiased2D")
def from_antialiased_mean_pool(module: Any, on: Domain | None) -> Layer:
    """`PointwiseAvgPoolAntialiased`: a Gaussian blur with strides."""
    return _blur(module.filter, module.stride, module.padding)


def _blur(filters: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Propagate:
    """A fixed filter on every channel; `filters` has a copy `[1, *kernel]` of it for each plane."""
    values = filters[0, 0]
    pairs = tuple((p, p) for p in padding)
    rule = window(tuple(values.shape), stride=stride, padding=pairs, basis=values[..., None])
    return Propagate(with_mode(rule, "zeros"))


@converts(Propagate, back="escnn", form="a square window of odd size on one function")
def to_blur(layer: Propagate, place: Place) -> nn.Module | None:
    """A fixed filter on every channel as a `PointwiseAvgPoolAntialiased` with that filter."""
    rule: Any = layer.rule
    size = getattr(rule, "size", (0,))
    if len(set(size)) > 1 or len(size) != 2 or size[0] % 2 == 0 or size[0] < 3:
        return None
    if rule.group is not None or rule.basis is None or set(rule.dilation) != {1}:
        return None
    padding = even_padding(rule)
    if rule.num_edge_types > 1 or padding is None:
        return None
    if mode_of(place.asked, rule, place.on, typed=False) != "zeros":
        return None
    _, layers = escnn_modules()
    # The width makes the filter 2 round(3 width) + 1 places wide.
    twin = layers.PointwiseAvgPoolAntialiased2D(
        place.kind, (size[0] - 1) / 6, stride=rule.stride, padding=padding
    )
    values = rule.bank().basis[0, 0].reshape(1, 1, *size)
    twin.filter = values.to(place.like).repeat(place.kind.size, 1, 1, 1)
    return twin


@converts("escnn.PointwiseAdaptiveAvgPool2D")
def from_adaptive_mean_pool(module: Any, on: Domain | None) -> Layer:
    """`PointwiseAdaptiveAvgPool` to lengths that divide the lattice's."""
    return AdaptivePool(module.output_size, "mean")


@converts("escnn.PointwiseAdaptiveMaxPool2D")
def from_adaptive_max_pool(module: Any, on: Domain | None) -> Layer:
    """`PointwiseAdaptiveMaxPool` to lengths that divide the lattice's."""
    return AdaptivePool(module.output_size, "max")


@converts(AdaptivePool, back="escnn", form="two axes")
def to_adaptive_pool(layer: AdaptivePool, place: Place) -> nn.Module:
    """The inverse of :func:`from_adaptive_mean_pool` and :func:`from_adaptive_max_pool`."""
    _, layers = escnn_modules()
    if layer.pool.options.reduction == "mean":
        return layers.PointwiseAdaptiveAvgPool2D(place.kind, layer.sizes)
    return layers.PointwiseAdaptiveMaxPool2D(place.kind, layer.sizes)


@converts("escnn.GroupPooling")
def from_group_pooling(module: Any, on: Domain | None) -> nn.Module:
    """`GroupPooling` as a `Pool` over the fiber; trivial fields have nothing to pool."""
    _, is_regular = fields_of("from_escnn(GroupPooling)", module.in_type)
    if not is_regular:
        return nn.Identity()
    return Pool(fiber(), "max")


@converts(Pool, back="escnn", form="fiber(), the maximum, or window(...), the maximum or the mean")
def to_escnn_pool(layer: Pool, place: Place) -> nn.Module | None:
    """The inverse of :func:`from_group_pooling`, :func:`from_max_pool` and :func:`from_mean_pool`.

    escnn's mean counts what was padded, ours does not: it comes back without padding only.
    """
    _, layers = escnn_modules()
    if layer.rule == fiber():
        if layer.options.reduction != "max":
            return None
        return layers.GroupPooling(place.kind)
    pool: Any = to_pool(layer, place.on)
    if pool is None or len(pool.kernel_size) != 2:
        return None
    options = {"stride": pool.stride, "padding": pool.padding, "ceil_mode": pool.ceil_mode}
    if isinstance(pool, nn.MaxPool2d):
        return layers.PointwiseMaxPool2D(
            place.kind, pool.kernel_size, dilation=pool.dilation, **options
        )
    if any(pool.padding) or pool.ceil_mode:
        return None
    return layers.PointwiseAvgPool2D(place.kind, pool.kernel_size, **options)


@converts("escnn.MaskModule")
def from_mask(module: Any, on: Domain | None) -> Mask:
    """`MaskModule` as a `Mask`."""
    return Mask(module.mask.detach()[0, 0].clone())


@converts(Mask, back="escnn", form="a square lattice")
def to_mask(layer: Mask, place: Place) -> nn.Module | None:
    """The inverse of :func:`from_mask`."""
    rows, columns = layer.mask.shape
    if rows != columns:
        return None
    _, layers = escnn_modules()
    twin = layers.MaskModule(place.kind, rows)
    mask = layer.mask[None, None].clone()
    return with_parameters(twin, layer, mask=mask)


@converts("escnn.FieldDropout")
def refuse_field_dropout(module: Any, on: Domain | None) -> nn.Module:
    """`FieldDropout` drops the planes of a field together, which no layer does."""
    found = "dropout of whole fields"
    raise GeodlError("from_escnn(FieldDropout)", found, "use PointwiseDropout")

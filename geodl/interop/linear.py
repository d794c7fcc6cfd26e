"""Linear layers: a convolution over the node itself."""

from torch import nn

from geodl.domain import Domain
from geodl.interop.conv import check_one_group
from geodl.interop.conversion import with_parameters
from geodl.interop.converters import converts
from geodl.interop.weights import of_linear
from geodl.layer import Conv
from geodl.neighborhood import itself


@converts(nn.Linear)
def from_linear(module: nn.Linear, on: Domain | None) -> Conv:
    """`nn.Linear` as a `Conv` over `itself()`: weight `[C_out, C_in]` as `[1, C_in, C_out]`."""
    layer = Conv(module.in_features, module.out_features, itself(), module.bias is not None, on)
    return with_parameters(layer, module, weight=of_linear(module.weight), bias=module.bias)


@converts(Conv, back="torch", form="itself()")
def to_linear(layer: Conv, on: Domain | None) -> nn.Linear | None:
    """The inverse of :func:`from_linear`."""
    if layer.rule != itself() or (layer.groups > 1 and on is not None):
        return None
    check_one_group(f"to_torch({layer.label})", layer)
    twin = nn.Linear(layer.channels_in, layer.channels_out, layer.bias is not None)
    return with_parameters(twin, layer, weight=layer.weight[0].T, bias=layer.bias)

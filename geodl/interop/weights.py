"""Weights of torch's modules as layers keep them."""

from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def of_linear(weight: Tensor) -> Tensor:
    """`[C_out, C_in]` as `[1, C_in, C_out]`."""
    return weight.T[None]


def of_convolution(weight: Tensor) -> Tensor:
    """`[C_out, C_in / groups, *kernel]` as `[K, C_in / groups, C_out]`."""
    return weight.flatten(2).permute(2, 1, 0)


def of_transposed(weight: Tensor, groups: int) -> Tensor:
    """`[C_in, C_out / groups, *kernel]` as `[K, C_in / groups, C_out]`: torch has the groups among
    the channels in, a Conv among the channels out.
    """
    weight = weight.flatten(2).unflatten(0, (groups, -1))
    return weight.permute(3, 1, 0, 2).flatten(2)


class Arranged(nn.Module):
    """A parametrization behind those of a module of torch: its weight as a layer keeps it.

    Args:
        kind: of the module, "linear", "convolution" or "transposed"; "same" changes nothing.
        groups: of a convolution.
    """

    has_twin = True

    def __init__(self, kind: str, groups: int = 1):
        super().__init__()
        self.kind, self.groups = kind, groups

    def forward(self, weight: Tensor) -> Tensor:
        """The same numbers in another shape."""
        if self.kind == "linear":
            return of_linear(weight)
        if self.kind == "convolution":
            return of_convolution(weight)
        if self.kind == "transposed":
            return of_transposed(weight, self.groups)
        return weight


def kind_of(module: Any, name: str) -> str:
    """Which of these kinds a parameter of a module of torch is; "" of those whose parametrizations
    no layer keeps.
    """
    kind = parametrize.type_before_parametrizations(module)
    if name == "weight" and kind is nn.Linear:
        return "linear"
    if name == "weight" and kind in CONVOLUTIONS:
        return "convolution"
    if name == "weight" and kind in TRANSPOSED:
        return "transposed"
    if name == "bias" and kind in (nn.Linear, *CONVOLUTIONS, *TRANSPOSED):
        return "same"
    if name == "weight" and kind is nn.Embedding:
        return "same"
    return ""

"""Modules of torch.nn that act on each number alone."""

from torch import nn

POINTWISE = (
    nn.Identity,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Tanh,
    nn.Sigmoid,
    nn.Softplus,
    nn.Softsign,
    nn.Hardtanh,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.LogSigmoid,
    nn.Dropout,
)


def is_pointwise(module: nn.Module) -> bool:
    """Whether a module acts on the last axis alone."""
    if type(module) is nn.LayerNorm:
        return len(module.normalized_shape) == 1
    return type(module) in POINTWISE

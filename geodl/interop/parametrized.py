"""Weights that a model computes of other parameters: torch's parametrizations and older hooks.

A layer keeps the parametrizations of its twin, which go on learning, and behind them one more that
brings a weight of torch's shape into the layer's.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.spectral_norm import SpectralNorm, remove_spectral_norm, spectral_norm
from torch.nn.utils.weight_norm import WeightNorm, remove_weight_norm

from geodl.interop.weights import Arranged, kind_of


def from_parametrized(module: Any, convert: Callable[[Any], Any]) -> Any:
    """A module as a layer, whose parameters are computed as those of the module.

    Args:
        module: a linear layer, a convolution or an embedding of torch, parametrized or not.
        convert: makes the layer of a plain module.
    """
    if not parametrize.is_parametrized(module):
        return convert(module)
    layer = convert(_plain(module))
    holder = getattr(layer, "conv", layer)
    for name, made in module.parametrizations.items():
        chain = copy.deepcopy(made)
        chain.append(Arranged(kind_of(module, name), getattr(module, "groups", 1)))
        _put(holder, name, chain)
    return layer.train(module.training)


def _plain(module: Any) -> nn.Module:
    """The module with what its parametrizations compute as plain parameters.

    Not by `parametrize.remove_parametrizations` of a copy: copies share the class that it takes the
    parametrization from.
    """
    kind: Any = parametrize.type_before_parametrizations(module)
    plain = kind.__new__(kind)
    plain.__dict__.update(vars(module))
    plain._modules = dict(module._modules)
    plain._parameters = dict(module._parameters)
    del plain._modules["parametrizations"]
    for name, made in module.parametrizations.items():
        # Of a copy: a spectral norm counts calls.
        plain._parameters[name] = nn.Parameter(copy.deepcopy(made)().detach())
    return plain


def to_parametrized(layer: Any, convert: Callable[[Any], Any]) -> Any:
    """A layer as a module of torch, whose parameters are computed as those of the layer.

    Args:
        layer: parametrized or not.
        convert: makes the module of a plain layer; None of one that it does not take.
    """
    holder = getattr(layer, "conv", layer)
    if not parametrize.is_parametrized(holder):
        return convert(layer)
    plain = _plain(holder)
    if holder is not layer:
        inner, plain = plain, copy.copy(layer)
        plain._modules = {**layer._modules, "conv": inner}
    twin = convert(plain)
    if twin is None:
        return None
    for name, made in holder.parametrizations.items():
        chain = copy.deepcopy(made)
        if not isinstance(chain[-1], Arranged):
            return None
        del chain[-1]
        if isinstance(chain[0], DividedByNorm):
            _divide_by_hook(twin, name, chain)
        else:
            _put(twin, name, chain)
    return twin.train(layer.training)


def _put(module: nn.Module, name: str, made: Any) -> None:
    """Let parametrizations stand in the place of a parameter."""
    # Registering one makes the property that calls them; it is then exchanged for those given.
    parametrize.register_parametrization(module, name, nn.Identity())
    found: Any = module.parametrizations
    found[name] = made


class DividedByNorm(nn.Module):
    """A weight over its largest singular value, as the older `torch.nn.utils.spectral_norm` finds
    it: by power iterations that begin with the other vector than those of the newer one. (Miyato et
    al., "Spectral Normalization for Generative Adversarial Networks", 2018.)

    Args:
        u: the left singular vector as far as it was found.
        v: the right one.
        iterations: made at each call in training.
        dim: the axis of the weight that counts rows.
        eps: the least norm that is divided by.
    """

    u: Tensor
    v: Tensor

    def __init__(self, u: Tensor, v: Tensor, iterations: int, dim: int, eps: float):
        super().__init__()
        self.register_buffer("u", u)
        self.register_buffer("v", v)
        self.iterations, self.dim, self.eps = iterations, dim, eps

    def forward(self, weight: Tensor) -> Tensor:
        """The weight of norm 1."""
        rows = weight.movedim(self.dim, 0).flatten(1)
        u, v = self.u, self.v
        if self.training:
            with torch.no_grad():
                for _ in range(self.iterations):
                    v = F.normalize(rows.T @ u, dim=0, eps=self.eps)
                    u = F.normalize(rows @ v, dim=0, eps=self.eps)
                self.u.copy_(u)
                self.v.copy_(v)
            # Later calls change the buffers, which this call's gradient reads.
            u, v = u.clone(), v.clone()
        return weight / torch.dot(u, rows @ v)


def _divide_by_hook(twin: Any, name: str, made: Any) -> None:
    """The older spectral norm on a module, with the vectors of a parametrization."""
    (divided,) = made
    setattr(twin, name, nn.Parameter(made.original.detach().clone()))
    spectral_norm(twin, name, divided.iterations, divided.eps, divided.dim)
    getattr(twin, f"{name}_orig").requires_grad_(made.original.requires_grad)
    getattr(twin, f"{name}_u").copy_(divided.u)
    getattr(twin, f"{name}_v").copy_(divided.v)


def copy_model(module: nn.Module) -> Any:
    """A copy of a model, also of one whose weights are computed by hooks, as those of the older
    `torch.nn.utils.weight_norm`: such a tensor has a history, with which torch copies none.
    """
    copies: dict[int, Any] = {}
    for part in module.modules():
        for value in vars(part).values():
            if isinstance(value, Tensor) and not value.is_leaf:
                copies[id(value)] = value.detach().clone()
    return copy.deepcopy(module, copies)


def replace_hooks(model: nn.Module) -> None:
    """Let parametrizations stand in the place of hooks that compute weights.

    Args:
        model: a copy that may be changed.
    """
    for part in model.modules():
        for hook in list(part._forward_pre_hooks.values()):
            if isinstance(hook, WeightNorm):
                _replace_weight_norm(part, hook)
            elif isinstance(hook, SpectralNorm):
                _replace_spectral_norm(part, hook)


def _replace_weight_norm(part: Any, hook: WeightNorm) -> None:
    name = hook.name
    norm, direction = getattr(part, f"{name}_g"), getattr(part, f"{name}_v")
    remove_weight_norm(part, name)
    parametrizations.weight_norm(part, name, hook.dim)
    part.parametrizations[name].original0 = norm
    part.parametrizations[name].original1 = direction


def _replace_spectral_norm(part: Any, hook: SpectralNorm) -> None:
    name = hook.name
    original, u, v = (getattr(part, f"{name}_{end}") for end in ("orig", "u", "v"))
    divided = DividedByNorm(u.clone(), v.clone(), hook.n_power_iterations, hook.dim, hook.eps)
    remove_spectral_norm(part, name)
    parametrize.register_parametrization(part, name, divided)
    # Registering calls it, which in training moves the vectors.
    divided.u.copy_(u)
    divided.v.copy_(v)
    part.parametrizations[name].original = original


def copy_modes(twin: nn.Module, module: nn.Module) -> None:
    """Give the parts of a copy the modes of the original's, also where it has more of them."""
    parts = dict(twin.named_modules())
    for path, original in module.named_modules():
        parts[path].train(original.training)

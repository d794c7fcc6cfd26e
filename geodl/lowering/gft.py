"""`gft`: filters by the graph Fourier transform, `Y = U (sum_k p_k(Lambda) U' X W_k)`.

Two kinds of rules run on it. Over `modes()` each mode has a weight of its own, and the other way
would be to write the projections out. A polynomial of a Laplacian is a recursion of sparse products
as well, one for each order: the transform is worth it where it is fast, on lattices and complete
graphs, and where the order is high.

Coefficients of complex modes are mixed as two rows of real numbers: weights are real.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from geodl.lowering.base import Call, Lowering
from geodl.lowering.channels import mix_channels
from geodl.lowering.precision import without_autocast
from geodl.neighborhood.structure import Polynomial
from geodl.spectrum import (
    MemberTransforms,
    Projections,
    analyse_members,
    fast_transform,
    synthesise_members,
    transforms_of,
)

# From these orders of a polynomial on two transforms take less time than the recursion, measured
# forward and backward on tori of 64 x 64 and 256 x 256 nodes: of filters, which multiply each
# channel for itself, and of layers that mix channels, once for each term.
ORDER = 8
MIXING_ORDER = 32


class GftPlan(NamedTuple):
    """The transforms, and what each mode is multiplied by.

    Attributes:
        transforms: the transforms of the members.
        terms: `[K, T]` the polynomials at the eigenvalue of each mode; None where each mode has a
            weight of its own.
        types: `[K]` the weight of each mode; None where weights stand in the order of the modes.
    """

    transforms: MemberTransforms
    terms: Tensor | None
    types: Tensor | None


def _refuses(call: Call) -> str:
    if call.spec.layout != torch.strided:
        return "the transform needs dense values"
    own, record = call.structure(Projections), call.structure(Polynomial)
    if own is not None:
        if own.transposed and own.norm == "rw":
            return "the transpose of I - D^-1 A has other modes"
        return ""
    if record is None:
        return "the rule gives no weights to modes or to powers of a Laplacian"
    if not hasattr(record.base, "norm") or not record.base.is_laplacian:
        return "the rule is no polynomial of a Laplacian"
    options, least = call.options, MIXING_ORDER
    if options.channels_in is None or options.groups == options.channels_in == options.channels_out:
        least = ORDER
    if record.order < least:
        return f"a recursion of {record.order} sparse products takes less time than two transforms"
    if call.open_entries:
        return "weights that come with the call change the modes"
    if any(fast_transform(part, record.base.norm) is None for part in call.source.kinds):
        return "the domain has no fast transform: its modes would have to be solved for"
    return ""


def _plan(call: Call) -> GftPlan:
    own, record = call.structure(Projections), call.structure(Polynomial)
    terms = types = None
    if own is not None:
        transforms = transforms_of(call.source, own.norm, own.count)
        if own.count is not None:
            types = torch.arange(own.count).repeat(call.source.num_members)
    else:
        assert record is not None
        transforms = transforms_of(call.source, record.base.norm)
        scale = record.scale(call.source)[:, 0].cpu()
        terms = record.at(scale * transforms.eigenvalues)
    wide = torch.promote_types(call.spec.dtype, torch.float32)

    def placed(tensor: Tensor) -> Tensor:
        dtype = tensor.dtype
        if tensor.is_floating_point():
            dtype = wide
        if tensor.is_complex():
            dtype = wide.to_complex()
        return tensor.to(call.spec.device, dtype)

    return pytree.tree_map_only(Tensor, placed, GftPlan(transforms, terms, types))


def _run(plan: GftPlan, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    # Autocast would round the parts of complex numbers to a dtype that has none.
    with without_autocast(x.device):
        coefficients = analyse_members(plan.transforms, x)
        y = synthesise_members(plan.transforms, _filtered(plan, coefficients, weight))
    if y.is_complex():
        y = y.real
    y = y.to(x.dtype)
    if bias is not None:
        y = y + bias
    return y


def _filtered(plan: GftPlan, x: Tensor, weight: Tensor | None) -> Tensor:
    """Coefficients `[B, K, C_in]` after what the filter does to each mode: `[B, K, C_out]`."""
    if weight is None:
        if plan.terms is None:
            return x  # the projections on all modes add up to 1
        return x * plan.terms.sum(1)[:, None].to(x.dtype)
    parts = x[:, :, None]
    if x.is_complex():
        parts = torch.stack((x.real, x.imag), dim=2)
    weight = weight.to(parts.dtype)
    if plan.terms is not None:
        y = _by_terms(plan.terms, parts, weight)
    else:
        if plan.types is not None:
            weight = weight.index_select(0, plan.types)
        y = _mode_by_mode(parts, weight)
    if x.is_complex():
        return torch.complex(y[:, :, 0].contiguous(), y[:, :, 1].contiguous())
    return y[:, :, 0]


def _by_terms(terms: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """`sum_t p_t(lambda_k) x^_k W_t`: `[B, K, P, C_in]` to `[B, K, P, C_out]`."""
    channels_out = weight.shape[2]
    if weight.shape[1] == 1 and x.shape[3] == channels_out:
        # Depthwise, the response of each mode is found first: one product in place of T.
        return x * (terms @ weight[:, 0])[:, None]
    y = x.new_zeros(*x.shape[:3], channels_out)
    for t, block in enumerate(weight):
        y = y + terms[:, t, None, None] * mix_channels(x, block)
    return y


def _mode_by_mode(x: Tensor, weight: Tensor) -> Tensor:
    """`x^_k W_k`: `[B, K, P, C_in]` and `[K, C_in / groups, C_out]` to `[B, K, P, C_out]`."""
    channels_in, rows, channels_out = x.shape[3], weight.shape[1], weight.shape[2]
    groups = channels_in // rows
    if rows == 1 and channels_in == channels_out:
        return x * weight
    blocks = weight.unflatten(2, (groups, channels_out // groups))
    y = torch.einsum("bkpgi,kigo->bkpgo", x.unflatten(3, (groups, rows)), blocks)
    return y.flatten(3)


def _note(plan: GftPlan) -> str:
    """How the modes were found."""
    return ", ".join(dict.fromkeys(transform.method for transform in plan.transforms.distinct))


convolve = Lowering("gft", _refuses, _plan, _run, note=_note)

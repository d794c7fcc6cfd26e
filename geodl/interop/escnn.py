"""Group convolutions of escnn on the square lattice."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.conv import check_one_group
from geodl.interop.conversion import conversion, with_parameters
from geodl.interop.escnn_basis import SPACES, check_residual, coefficients, group_of, in_our_order
from geodl.interop.padding import check_domain, mode_of, with_mode
from geodl.layer import Conv, Layer
from geodl.neighborhood import isotropic, lift, window
from geodl.neighborhood.window import Window

# By whether the fields that are read, and those that are made, are regular.
RULES: dict[tuple[bool, bool], Any] = {
    (False, False): isotropic,
    (False, True): lift,
    (True, True): window,
}
ALTERED = "a filter that does not commute with its group is not equivariant: rebuild the module"
TWINS = f"give a Conv over isotropic, lift or window for one of {', '.join(map(str, SPACES))}"


def from_escnn(module: nn.Module, *, on: Domain | None = None) -> Conv:
    """escnn's `R2Conv` between trivial and regular fields as a `Conv` over `isotropic`, `lift` or
    `window(group=...)`.

    The weights are read from the filter that `expand_parameters()` gives, one for each edge type.
    The filter is checked to be equivariant: its entries of one edge type must agree to 1e-5. Image
    planes stand channel by channel in escnn (`c * |G| + h`) and group element by group element here
    (`h * C + c`). The window remembers the padding mode, as in :func:`geodl.interop.from_torch`.

    Args:
        module: an `escnn.nn.R2Conv` for C1, C2, C4, D1, D2 or D4.
        on: a domain; the layer then takes and returns tensors `[B, N, C]` on it.

    Raises:
        GeodlError: if the module has another type, group or kind of field, or `groups`; if our edge
            types do not reconstruct its filter to 1e-5 of the norm, with the residual; if escnn is
            not installed.

    Example: `from_escnn(R2Conv(trivial, regular, 3, padding=1))` is a `Conv(1, 2, lift(3x3,
    group=C4))`.
    """
    asked = f"from_escnn({type(module).__name__})"
    with conversion(asked, module, on), torch.no_grad():
        _check_options(asked, module)
        twin: Any = module
        group, order = group_of(asked, twin.space)
        fields_in, reads_group = _fields(asked, twin.in_type)
        fields_out, makes_group = _fields(asked, twin.out_type)
        if (reads_group, makes_group) not in RULES:
            raise GeodlError(
                asked,
                "regular fields in, trivial ones out",
                "convolve to regular fields, then Pool(fiber())",
            )
        rule = RULES[reads_group, makes_group](
            twin.kernel_size,
            group=group,
            stride=twin.stride,
            padding=twin.padding,
            dilation=twin.dilation,
        )
        rule = with_mode(rule, twin.padding_mode)
        check_domain(asked, rule, on)
        filters, bias = twin.expand_parameters()
        in_order, out_order = _orders(order, (reads_group, makes_group))
        bank = in_our_order(filters, out_order, in_order, fields_out, fields_in)
        weight = _weight_of(asked, rule, bank).requires_grad_(twin.weights.requires_grad)
        if bias is not None:
            bias = _bias_of(asked, bias, fields_out).requires_grad_(twin.bias.requires_grad)
        layer = Conv(fields_in, fields_out, rule, bias is not None, on)
        return with_parameters(layer, module, weight=weight, bias=bias)


def to_escnn(layer: Layer, *, on: Domain | None = None) -> nn.Module:
    """The inverse of :func:`from_escnn`.

    escnn's filters are band-limited, in the basis that `R2Conv` has by default; ours are free:
    weights outside of escnn's basis are refused, with the residual. Group elements stand in the
    order of escnn's default mirror axis; the planes of a module with another axis are ordered
    differently.

    escnn 1.0.11 hands `np.matrix` to scikit-learn, which takes none from 1.2 on: where it says so,
    set `escnn.group._numerical.randomized_svd = None`, and escnn asks scipy instead.

    Args:
        layer: a `Conv` over `isotropic`, `lift` or `window(group=...)` for C1, C2, C4, D1, D2 or
            D4.
        on: the domain of the layer's signals; a periodic one makes `padding_mode="circular"`
            where the window does not remember a mode.

    Raises:
        GeodlError: if the layer or its group is another one; if weights are outside of escnn's
            basis, with the residual; if escnn cannot build the module, or is not installed.
    """
    asked = f"to_escnn({getattr(layer, 'label', type(layer).__name__)})"
    with conversion(asked, layer, on):
        if not isinstance(layer, Conv):
            raise GeodlError(asked, "no convolution", f"{TWINS}; of a model, each by itself")
        check_one_group(asked, layer)
        rule: Any = layer.rule
        sides = _sides(rule)
        if sides is None or rule.group not in SPACES:
            raise GeodlError(asked, str(rule), TWINS)
        _check_square(asked, rule)
        domain = layer.on if on is None else on
        mode = mode_of(asked, rule, domain)
        twin = _empty_twin(asked, layer, sides, layer.channels_in, layer.channels_out, mode)
        one = _empty_twin(asked, layer, sides, 1, 1, mode)
        _, order = group_of(asked, one.space)
        in_order, out_order = _orders(order, sides)
        weights = coefficients(asked, layer, one, out_order, in_order)
        weights.requires_grad_(layer.weight.requires_grad)
        bias = layer.bias
        if bias is not None:
            # escnn scales a bias by the norm of its field.
            bias = bias / one.bias_expansion.max()
        return with_parameters(twin, layer, weights=weights, bias=bias)


def _check_options(asked: str, twin: Any) -> None:
    _, layers = _escnn()
    if type(twin) is not layers.R2Conv:
        raise GeodlError(asked, "a type with no converter", "R2Conv has one")
    if twin.groups != 1 or twin.padding_mode not in ("zeros", "circular"):
        found = f"groups={twin.groups} and padding_mode={twin.padding_mode!r}"
        raise GeodlError(asked, found, "use groups=1, and zeros or circular")


def _check_square(asked: str, rule: Any) -> None:
    axes = set(zip(rule.size, rule.stride, rule.dilation, rule.padding, strict=True))
    if len(axes) > 1 or len(set(rule.padding[0])) > 1:
        raise GeodlError(
            asked, str(rule), "R2Conv has square windows, the same on both axes and on all sides"
        )


def _weight_of(asked: str, rule: Window, bank: Tensor) -> Tensor:
    """`[T, I, O]`: for each edge type the mean of its entries in the filter, all of them equal."""
    fields_in, fields_out = bank.shape[3:]
    entries = bank.flatten(0, 2)
    kind = rule.table().reshape(-1).to(bank.device)
    total = bank.new_zeros(rule.num_edge_types, fields_in, fields_out)
    total.index_add_(0, kind, entries)
    weight = total / torch.bincount(kind)[:, None, None]
    check_residual(asked, weight[kind], entries, ALTERED)
    return weight


def _bias_of(asked: str, bias: Tensor, fields: int) -> Tensor:
    """`[O]`: one number for each field, the same on all of its planes."""
    planes = bias.view(fields, -1)
    check_residual(asked, planes[:, :1].expand_as(planes), planes, ALTERED)
    return planes[:, 0]


def _fields(asked: str, kind: Any) -> tuple[int, bool]:
    """How many fields, and whether they are regular."""
    count = len(kind.representations)
    if all(r.is_trivial() for r in kind.representations):
        return count, False
    names = {r.name for r in kind.representations}
    if names != {"regular"}:
        raise GeodlError(
            asked,
            f"fields of kinds {sorted(names)}",
            "use trivial fields only, or regular fields only",
        )
    return count, True


def _orders(order: list[int], sides: tuple[bool, bool]) -> list[list[int]]:
    """The order of planes within a field, for both sides; a trivial field has one plane."""
    planes = ([0], order)
    return [planes[regular] for regular in sides]


def _sides(rule: Any) -> tuple[bool, bool] | None:
    """Whether a group's window reads a fiber and makes one; None for every other rule."""
    if getattr(rule, "size", None) is None or rule.group is None:
        return None
    for sides, make in RULES.items():
        same = make(
            rule.size,
            stride=rule.stride,
            padding=rule.padding,
            dilation=rule.dilation,
            group=rule.group,
            exact=rule.exact,
        )
        if replace(same, boundary=rule.boundary) == rule:
            return sides
    return None


def _empty_twin(
    asked: str,
    layer: Conv,
    sides: tuple[bool, bool],
    fields_in: int,
    fields_out: int,
    mode: str,
) -> Any:
    """An `R2Conv` with the layer's window, between so many fields, whose parameters mean nothing.

    Raises:
        GeodlError: if escnn gives scikit-learn a type that it does not take.
    """
    rule: Any = layer.rule
    gspaces, layers = _escnn()
    if torch.get_default_dtype() != torch.float32:
        raise GeodlError(
            asked,
            f"the default dtype {torch.get_default_dtype()}, in which escnn builds no layer",
            "call torch.set_default_dtype(torch.float32) first; the layer keeps its own dtype",
        )
    maker, arguments = SPACES[rule.group]
    space = getattr(gspaces, maker)(*arguments)
    # By whether fields are regular.
    kinds = (space.trivial_repr, space.regular_repr)
    reads_group, makes_group = sides
    try:
        twin = layers.R2Conv(
            layers.FieldType(space, fields_in * [kinds[reads_group]]),
            layers.FieldType(space, fields_out * [kinds[makes_group]]),
            rule.size[0],
            stride=rule.stride[0],
            padding=rule.padding[0][0],
            dilation=rule.dilation[0],
            bias=layer.bias is not None,
            padding_mode=mode,
            initialize=False,
        )
    except TypeError as error:
        if "np.matrix" not in str(error):
            raise
        raise GeodlError(
            asked,
            "an escnn that hands np.matrix to scikit-learn, which takes none",
            "set escnn.group._numerical.randomized_svd = None first, and escnn asks scipy",
        ) from error
    return twin.to(layer.weight)


def _escnn() -> tuple[Any, Any]:
    """escnn's modules `gspaces` and `nn`; it is not required."""
    try:
        from escnn import gspaces
        from escnn import nn as layers
    except ImportError as error:
        raise GeodlError(
            "a conversion of escnn",
            f"no escnn ({error})",
            "pip install --no-deps escnn lie_learn joblib pymanopt autograd",
        ) from error
    return gspaces, layers

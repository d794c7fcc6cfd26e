"""Group convolutions of escnn on the square lattice."""

from typing import Any

import torch
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.group import C, D, Group
from geodl.interop.base import conversion, with_parameters
from geodl.interop.conv import hold_padding, padding_mode
from geodl.layer import Conv, Layer
from geodl.neighborhood import isotropic, lift, window

RULES: dict[tuple[bool, bool], Any] = {
    (False, False): isotropic,
    (False, True): lift,
    (True, True): window,
}  # hears, makes
LIMITED = "escnn's basis is band-limited: keep the layer, or train in that basis"
ALTERED = "a filter that does not commute with its group is no layer over it: rebuild the module"
# escnn samples its basis in torch's default dtype, single precision unless it was set to another
BOUND = 1e-6
SPACES = {
    C(2): ("rot2dOnR2", 2),
    C(4): ("rot2dOnR2", 4),
    D(2): ("flipRot2dOnR2", 2),
    D(4): ("flipRot2dOnR2", 4),
}
IMAGE = torch.tensor(
    [[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64
)  # rows count downwards: (row, column) = (-y, x)


def from_escnn(module: nn.Module, *, on: Domain | None = None) -> Conv:
    """escnn's `R2Conv` between trivial and regular fields as a `Conv` over `isotropic`, `lift` or
    `window(group=...)`.

    The weights are read from the filter that `expand_parameters()` gives, one for each edge type;
    every filter that commutes with the group has them, and that this one does is checked. Image
    planes stand channel by channel in escnn (`c * |G| + h`) and group element by group element here
    (`h * C + c`).

    Args:
        module: an `escnn.nn.R2Conv` for C1, C2, C4, D1, D2 or D4.
        on: a domain; the layer then takes and returns tensors `[B, N, C]` on it.

    Raises:
        GeodlError: another type, group or kind of field, groups; a filter that our edge types do
            not reconstruct to 1e-6 of its norm, with the residual.

    Example: `from_escnn(R2Conv(trivial, regular, 3, padding=1))` is a `Conv(1, 2, lift(3x3,
    group=C4))`.
    """
    from escnn.nn import R2Conv

    twin: Any = module
    if type(module) is not R2Conv:
        raise GeodlError(
            f"from_escnn({type(module).__name__})", "a type with no converter", "R2Conv has one"
        )
    asked = f"from_escnn({twin})"
    if twin.groups != 1 or twin.padding_mode not in ("zeros", "circular"):
        found = f"groups={twin.groups} and padding_mode={twin.padding_mode!r}"
        raise GeodlError(asked, found, "use groups=1, and zeros or circular")
    with conversion(module), torch.no_grad():
        group, sheets = _group_of(asked, twin.space)
        (heard, hears), (made, makes) = (
            _fields(asked, kind) for kind in (twin.in_type, twin.out_type)
        )
        if (hears, makes) not in RULES:
            raise GeodlError(
                asked,
                "regular fields in, trivial ones out",
                "convolve to regular fields, then Pool(fiber())",
            )
        only = {
            "group": group,
            "stride": twin.stride,
            "padding": twin.padding,
            "dilation": twin.dilation,
        }
        rule = RULES[hears, makes](twin.kernel_size, **only)
        hold_padding(asked, twin.padding_mode, rule.padding, on)
        bank, bias = twin.expand_parameters()
        bank = _ours(bank, made, heard, sheets if makes else [0], sheets if hears else [0])
        kind = rule.table().reshape(-1).to(bank.device)
        weight = bank.new_zeros(rule.num_edge_types, heard, made).index_add_(
            0, kind, bank.flatten(0, 2)
        )
        weight /= torch.bincount(kind)[:, None, None]
        _hold(asked, weight[kind], bank.flatten(0, 2), ALTERED)
        bias = None if bias is None else bias.view(made, -1)
        if bias is not None:
            _hold(asked, bias[:, :1].expand_as(bias), bias, ALTERED)
            bias = bias[:, 0].requires_grad_(twin.bias.requires_grad)
        layer = Conv(heard, made, rule, bias is not None, on)
        return with_parameters(
            layer, module, weight=weight.requires_grad_(twin.weights.requires_grad), bias=bias
        )


def to_escnn(layer: Layer, *, on: Domain | None = None) -> nn.Module:
    """The inverse of :func:`from_escnn`, where escnn's basis reaches: it is band-limited, a free
    window is not.

    Args:
        layer: a `Conv` over `isotropic`, `lift` or `window(group=...)` for C2, C4, D2 or D4.
        on: the domain of the layer's signals; a periodic one makes `padding_mode="circular"`.

    Raises:
        GeodlError: another layer or group; weights outside escnn's basis, with the residual.
    """
    from escnn import gspaces
    from escnn.nn import FieldType, R2Conv

    asked = f"to_escnn({layer.label})"
    rule: Any = getattr(layer, "rule", None)
    sides = _sides(rule)
    if not isinstance(layer, Conv) or sides is None or rule.group not in SPACES:
        raise GeodlError(
            asked,
            f"{rule}",
            f"give a Conv over isotropic, lift or window for {', '.join(map(str, SPACES))}",
        )
    if (
        len({*zip(rule.size, rule.stride, rule.dilation, rule.padding, strict=True)}) > 1
        or len({*rule.padding[0]}) > 1
    ):
        raise GeodlError(
            asked, f"{rule}", "R2Conv has square windows, alike on both axes and on all sides"
        )
    options = {
        "stride": rule.stride[0],
        "padding": rule.padding[0][0],
        "dilation": rule.dilation[0],
    }
    mode = padding_mode(asked, rule.padding, layer.on if on is None else on)
    with conversion(layer):
        name, n = SPACES[rule.group]
        space = getattr(gspaces, name)(n)
        _, sheets = _group_of(asked, space)
        kinds = [[space.regular_repr] if side else [space.trivial_repr] for side in sides]
        twins: Any = (
            R2Conv(
                FieldType(space, heard * kinds[0]),
                FieldType(space, made * kinds[1]),
                rule.size[0],
                bias=layer.bias is not None,
                padding_mode=mode,
                initialize=False,
                **options,
            ).to(layer.weight)
            for heard, made in ((1, 1), (layer.channels_in, layer.channels_out))
        )
        one, twin = twins
        weights = _coefficients(asked, layer, one, [sheets if side else [0] for side in sides])
        bias = None if layer.bias is None else layer.bias / one.bias_expansion.max()
        return with_parameters(
            twin, layer, weights=weights.requires_grad_(layer.weight.requires_grad), bias=bias
        )


@torch.no_grad()
def _coefficients(asked: str, layer: Conv, one: Any, sheets: list[list[int]]) -> Tensor:
    """A layer's weights in escnn's basis, whose elements are read from the twin of one field on
    each side.
    """
    rule: Any = layer.rule
    unit = torch.eye(len(one.weights), dtype=one.weights.dtype, device=one.weights.device)
    basis = torch.stack(
        [_ours(one.basisexpansion(w), 1, 1, sheets[1], sheets[0]).flatten() for w in unit]
    )
    weight, kind = layer.weight, rule.table().reshape(-1).to(unit.device)
    bank = weight[kind].permute(2, 1, 0).flatten(0, 1)  # [O I, S R K]
    found = torch.linalg.lstsq(basis.T.double(), bank.T.double()).solution.T
    _hold(asked, found @ basis.double(), bank.double(), LIMITED)
    return found.reshape(-1).to(bank)


def _ours(filters: Tensor, made: int, heard: int, to: list[int], of: list[int]) -> Tensor:
    """escnn's filter `[O |G|, I |G|, *kernel]` with its group elements in our order: `[S, R, K, I,
    O]`.
    """
    return filters.reshape(made, len(to), heard, len(of), -1)[:, to][:, :, :, of].permute(
        1, 3, 4, 2, 0
    )


def _group_of(asked: str, space: Any) -> tuple[Group, list[int]]:
    """Our group with the same matrices on (row, column), and where each of its elements stands in
    escnn's order.
    """
    matrices = [
        IMAGE @ torch.as_tensor(space.basespace_action(e)).double() @ IMAGE.T
        for e in space.fibergroup.elements
    ]
    for group in (kind(n) for n in (1, 2, 4) for kind in (C, D)):
        same = [
            [k for k, m in enumerate(matrices) if torch.allclose(m, e.double(), atol=1e-9)]
            for e in group.elements
        ]
        if group.order == len(matrices) and all(len(found) == 1 for found in same):
            return group, [found[0] for found in same]
    raise GeodlError(
        asked,
        f"{space}, which does not map the square lattice to itself",
        "use a group of quarter turns and mirrors",
    )


def _fields(asked: str, kind: Any) -> tuple[int, bool]:
    """How many fields, and whether they are regular."""
    names = {r.name for r in kind.representations}
    trivial = all(r.is_trivial() for r in kind.representations)
    if not trivial and names != {"regular"}:
        raise GeodlError(
            asked,
            f"fields of kinds {sorted(names)}",
            "use trivial fields only, or regular fields only",
        )
    return len(kind.representations), not trivial


def _sides(rule: Any) -> tuple[bool, bool] | None:
    """Whether a group's window hears a fiber and makes one; None for every other rule."""
    if getattr(rule, "size", None) is None or rule.group is None:
        return None
    rest = {
        "stride": rule.stride,
        "padding": rule.padding,
        "dilation": rule.dilation,
        "group": rule.group,
        "exact": rule.exact,
    }
    return next((sides for sides, make in RULES.items() if make(rule.size, **rest) == rule), None)


def _hold(asked: str, ours: Tensor, theirs: Tensor, do: str) -> None:
    residual = float(
        (ours - theirs).norm() / theirs.norm().clamp(min=torch.finfo(theirs.dtype).tiny)
    )
    if not residual <= BOUND:
        raise GeodlError(asked, f"weights outside the basis, with a residual of {residual:.1e}", do)

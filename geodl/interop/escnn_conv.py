"""escnn's `R2Conv` between trivial and regular fields, and convolutions over a group's windows."""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from geodl.domain import Domain, coordinates
from geodl.errors import GeodlError
from geodl.interop.conv import check_one_group
from geodl.interop.conversion import with_parameters
from geodl.interop.converters import converts
from geodl.interop.escnn_basis import (
    ALTERED,
    BOUND,
    check_residual,
    coefficients,
    filters_of,
    group_of,
    in_our_order,
    space_of,
    weights_of,
)
from geodl.interop.escnn_package import building_escnn, escnn_modules
from geodl.interop.padding import check_domain, mode_of, with_mode
from geodl.layer import Conv
from geodl.neighborhood import Ring, Rings, isotropic, lift, window
from geodl.neighborhood.window import Window

# By whether the fields that are read, and those that are made, are regular.
RULES: dict[tuple[bool, bool], Any] = {
    (False, False): isotropic,
    (False, True): lift,
    (True, True): window,
}
TWINS = "give a Conv over isotropic, lift or window(group=...) for C(n) or D(n)"
# Of a ring on which no other places of the window lie, in nodes.
NARROW = 0.05


class Place(NamedTuple):
    """Where a layer of ours stands among escnn's modules.

    Attributes:
        asked: the call in words, for errors.
        kind: the `FieldType` that its twin reads; None before the first convolution.
        on: the domain of its signals, None where it is not named.
        like: a parameter of the model, whose dtype and device fixed filters have too.
    """

    asked: str
    kind: Any
    on: Domain | None
    like: Tensor


def fields_of(asked: str, kind: Any) -> tuple[int, bool]:
    """How many fields, and whether they are regular.

    Raises:
        GeodlError: fields of other kinds, or of both.
    """
    count = len(kind.representations)
    if all(r.is_trivial() for r in kind.representations):
        return count, False
    names = {r.name for r in kind.representations}
    if names != {"regular"}:
        found = f"fields of kinds {sorted(names)}"
        raise GeodlError(asked, found, "use trivial fields only, or regular fields only")
    return count, True


@converts("escnn.R2Conv", reads="planes")
def from_r2conv(module: Any, on: Domain | None) -> Conv:
    """`R2Conv` as a `Conv` over `isotropic`, `lift` or `window(group=...)`: over a group that maps
    the lattice to itself with a weight for each edge type, over others on the rings of the module's
    own basis, whose functions are turned and sampled as escnn does.

    Planes stand channel by channel in escnn (`c * |G| + h`) and group element by group element here
    (`h * C + c`).
    """
    asked = "from_escnn(R2Conv)"
    if module.groups != 1 or module.padding_mode not in ("zeros", "circular"):
        found = f"groups={module.groups} and padding_mode={module.padding_mode!r}"
        raise GeodlError(asked, found, "use groups=1, and zeros or circular")
    group, order = group_of(asked, module.space)
    fields_in, reads_group = fields_of(asked, module.in_type)
    fields_out, makes_group = fields_of(asked, module.out_type)
    if (reads_group, makes_group) not in RULES:
        found, do = "regular fields in, trivial ones out", "convolve to regular fields, then pool"
        raise GeodlError(asked, found, f"{do}: GroupPooling")
    basis = None
    if not group.action.exact:
        basis = rings_of(module)
    rule = RULES[reads_group, makes_group](
        module.kernel_size,
        group=group,
        stride=module.stride,
        padding=module.padding,
        dilation=module.dilation,
        basis=basis,
    )
    rule = with_mode(rule, module.padding_mode)
    check_domain(asked, rule, on)
    with torch.no_grad():
        filters, bias = module.expand_parameters()
        planes = ([0], order)
        orders = planes[makes_group], planes[reads_group]
        filters = in_our_order(filters, *orders, fields_out, fields_in)
        weight = weights_of(asked, rule, filters).requires_grad_(module.weights.requires_grad)
        if bias is not None:
            bias = _bias_of(asked, bias, fields_out).requires_grad_(module.bias.requires_grad)
    layer = Conv(fields_in, fields_out, rule, bias is not None, on)
    return with_parameters(layer, module, weight=weight, bias=bias)


def rings_of(module: Any) -> Rings:
    """The rings of an `R2Conv`, in steps of its dilation, with the frequencies that they have."""
    highest: dict[float, int] = {}
    # There is one block, as all fields on a side are of one kind.
    block: Any = next(iter(module.basisexpansion.children()))
    for element in block.get_basis_info():
        radius = min(module._rings, key=lambda ring: abs(ring - element["radius"]))
        frequency = int(element["irrep:frequency"])
        highest[radius] = max(frequency, highest.get(radius, 0))
    widths = dict(zip(module._rings, module._sigma, strict=True))
    rings = [
        Ring(radius / module.dilation, widths[radius] / module.dilation, highest[radius])
        for radius in sorted(highest)
    ]
    return Rings(tuple(rings))


def _bias_of(asked: str, bias: Tensor, fields: int) -> Tensor:
    """`[O]`: one number for each field, the same on all of its planes."""
    planes = bias.view(fields, -1)
    check_residual(asked, planes[:, :1].expand_as(planes), planes, ALTERED)
    return planes[:, 0]


@converts(Conv, back="escnn", form=TWINS)
def to_r2conv(layer: Conv, place: Place) -> nn.Module:
    """The inverse of :func:`from_r2conv`.

    Over a group that maps the lattice to itself our filters are free. Those that lie in the basis
    that `R2Conv` has by default come back in it; others in one with a narrow ring through the
    places of each distance from the centre, and as many frequencies as tell those places apart,
    whose sums are all filters there are. On rings the module gets the same rings.
    """
    asked = place.asked
    check_one_group(asked, layer)
    rule: Any = layer.rule
    sides = sides_of(rule)
    if sides is None:
        raise GeodlError(asked, str(rule), TWINS)
    _check_square(asked, rule)
    space = space_of(asked, rule.group)
    kind = kind_read_by(asked, layer)
    if place.kind is not None and place.kind != kind:
        raise GeodlError(asked, f"{kind} behind {place.kind}", "give each layer what it takes")
    mode = mode_of(asked, rule, place.on)
    _, order = group_of(asked, space)
    planes = ([0], order)
    orders = planes[sides[1]], planes[sides[0]]
    filters = filters_of(layer)
    residual = math.inf
    for rings in _bases(asked, rule):
        one = _empty_twin(asked, layer, rings, 1, 1, mode)
        weights, residual = coefficients(filters, one, *orders)
        if residual <= BOUND:
            twin = _empty_twin(asked, layer, rings, layer.channels_in, layer.channels_out, mode)
            weights = weights.to(layer.weight).requires_grad_(layer.weight.requires_grad)
            bias = layer.bias
            if bias is not None:
                # escnn scales a bias by the norm of its field.
                bias = bias / one.bias_expansion.max()
            return with_parameters(twin, layer, weights=weights, bias=bias)
    found = f"weights outside the basis, with a residual of {residual:.1e}"
    raise GeodlError(asked, found, "give finite weights that commute with the group")


def kind_read_by(asked: str, layer: Conv) -> Any:
    """The `FieldType` that a convolution over a group's window reads."""
    sides: Any = sides_of(layer.rule)
    return _field_type(asked, layer.rule, sides[0], layer.channels_in)


def sides_of(rule: Any) -> tuple[bool, bool] | None:
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
            basis=rule.basis,
        )
        if replace(same, boundary=rule.boundary, tiled=rule.tiled) == rule:
            return sides
    return None


def _check_square(asked: str, rule: Any) -> None:
    axes = set(zip(rule.size, rule.stride, rule.dilation, rule.padding, strict=True))
    if len(axes) > 1 or len(set(rule.padding[0])) > 1:
        do = "R2Conv has square windows, the same on both axes and on all sides"
        raise GeodlError(asked, str(rule), do)


def _bases(asked: str, rule: Window) -> list[Rings | None]:
    """The rings on which a rule's filters may lie; None for those that escnn has by default."""
    basis: Any = rule.basis
    rings: Any = getattr(basis, "rings", None)
    if isinstance(rings, tuple):
        return [basis]
    if rings is not None:
        return [Rings(basis.rings(rule.size[0]))]
    assert rule.group is not None
    if rule.group.action.exact:
        free = _rings_through_places(rule.size)
        # By default escnn has one ring for a window of 2, on its centre, where no place is.
        if rule.size[0] == 2:
            return [free]
        return [None, free]
    do = "escnn's filters are rings under a group that moves places off others: use harmonics()"
    raise GeodlError(asked, f"{rule.basis} under {rule.group}", do)


def _rings_through_places(size: tuple[int, ...]) -> Rings:
    """A narrow ring for each distance from the centre, with all filters in its span.

    The functions 1, cos, sin, ... of frequencies up to M take any values at 2 M + 1 angles.
    """
    offsets = coordinates(size) - (torch.tensor(size, dtype=torch.float64) - 1) / 2
    squares, counts = offsets.square().sum(1).unique(return_counts=True)
    rings = [
        Ring(math.sqrt(square), NARROW, count // 2)
        for square, count in zip(squares.tolist(), counts.tolist(), strict=True)
    ]
    return Rings(tuple(rings))


def _field_type(asked: str, rule: Any, regular: bool, count: int) -> Any:
    _, layers = escnn_modules()
    space = space_of(asked, rule.group)
    representation = space.trivial_repr
    if regular:
        representation = space.regular_repr
    return layers.FieldType(space, count * [representation])


def _empty_twin(
    asked: str, layer: Conv, rings: Rings | None, fields_in: int, fields_out: int, mode: str
) -> Any:
    """An `R2Conv` with the layer's window and no parameters to speak of."""
    rule: Any = layer.rule
    sides: Any = sides_of(rule)
    if torch.get_default_dtype() != torch.float32:
        found = f"the default dtype {torch.get_default_dtype()}, in which escnn builds no layer"
        do = "call torch.set_default_dtype(torch.float32) first; the layer keeps its own dtype"
        raise GeodlError(asked, found, do)
    _, layers = escnn_modules()
    with building_escnn():
        twin = layers.R2Conv(
            _field_type(asked, rule, sides[0], fields_in),
            _field_type(asked, rule, sides[1], fields_out),
            rule.size[0],
            stride=rule.stride[0],
            padding=rule.padding[0][0],
            dilation=rule.dilation[0],
            bias=layer.bias is not None,
            padding_mode=mode,
            initialize=False,
            **_options_of(rings, rule),
        )
    return twin.to(layer.weight)


def _options_of(rings: Rings | None, rule: Window) -> dict[str, Any]:
    """Rings as `R2Conv` takes them, in nodes."""
    if rings is None:
        return {}
    step = rule.dilation[0]
    # No ring may lie beyond the corners, not by rounding either.
    furthest = step * (rule.size[0] - 1) / 2 * math.sqrt(2)
    radii = [min(step * ring.radius, furthest) for ring in rings.rings]
    highest = {radius: ring.highest for radius, ring in zip(radii, rings.rings, strict=True)}

    def cutoff(radius: float) -> int:
        # escnn may ask for a radius that it has rounded to single precision.
        return highest[min(highest, key=lambda known: abs(known - radius))]

    return {
        "rings": radii,
        "sigma": [step * ring.width for ring in rings.rings],
        "frequencies_cutoff": cutoff,
    }

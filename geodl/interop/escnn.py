"""The two doors to escnn: networks on trivial and regular fields as layers, and back."""

from dataclasses import replace
from typing import Any

from torch import nn

from geodl.domain import Domain
from geodl.errors import GeodlError

# Importing a file of converters puts them on the list.
from geodl.interop import escnn_layers  # noqa: F401
from geodl.interop.conversion import conversion
from geodl.interop.converters import BACK, converts, from_module, from_part
from geodl.interop.escnn_basis import group_of
from geodl.interop.escnn_conv import Place, fields_of, kind_read_by, sides_of
from geodl.interop.escnn_package import escnn_modules
from geodl.interop.sequential import target_of
from geodl.layer import Conv, Layer, Sequential


def from_escnn(module: nn.Module, *, on: Domain | None = None, exact: bool = True) -> Layer:
    """A module of escnn between trivial and regular fields of C(n) or D(n), or a whole
    `SequentialModule` of them, as a layer of ours: the same numbers on Signals, and copies of the
    parameters.

    | escnn.nn | layer |
    |---|---|
    | `R2Conv` | `Conv` over `isotropic`, `lift` or `window(group=...)` |
    | `InnerBatchNorm` | `BatchNorm` |
    | `ReLU`, `ELU`, `LeakyReLU`, `PointwiseNonLinearity`, `IdentityModule` | of torch.nn |
    | `PointwiseDropout` | `nn.Dropout` |
    | `PointwiseMaxPool`, `PointwiseAvgPool` | `Pool` over `window(...)` |
    | the same, `Antialiased` | `Pool`, then `Propagate` over a window with a Gaussian |
    | the same, `Adaptive` | `AdaptivePool`, where the lengths divide |
    | `GroupPooling` | `Pool(fiber())` |
    | `MaskModule` | a factor at each point, which no certificate proves |
    | `SequentialModule`, nested too | `Sequential` |

    A convolution's weights are read from the filter that `expand_parameters()` gives. Over C(1),
    C(2), C(4), D(1), D(2) and D(4) there is one for each edge type, and the layer is exactly
    equivariant. Other groups take points of the lattice between its points, where escnn samples
    turned filters: the layer has the same rings of circular harmonics as its basis
    (`rule.basis`), and is as approximately equivariant as escnn's. Filters are compared; they must
    agree to 1e-5, as escnn samples in single precision. The window remembers the padding mode, as
    in :func:`geodl.interop.from_torch`.

    Args:
        module: of `escnn.nn`.
        on: a domain; a convolution, norm or pool then takes and returns tensors `[B, N, C]` on it.
            Containers refuse it.
        exact: whether sizes are refused at which strides would make the group's symmetry
            approximate. escnn computes there without a word.

    Raises:
        GeodlError: fields of other kinds (irreps, quotients, induced ones) or of both kinds at
            once; continuous groups; a type without a converter; an `R2Conv` with `groups`, from
            regular fields to trivial ones, or whose filter was altered; if escnn is not installed.

    Example: `from_escnn(R2Conv(trivial, regular, 3, padding=1))` is a `Conv(1, 2, lift(3x3,
    group=C4))`.
    """
    asked = f"from_escnn({type(module).__name__})"
    with conversion(asked, module, on):
        escnn_modules()
        for part in module.modules():
            _check_fields(asked, part)
        layer = from_module(module, on, "escnn")
    if not exact:
        for part in layer.modules():
            # Pools and blurs have windows, too.
            rule: Any = getattr(part, "rule", None)
            if getattr(rule, "size", None) is not None:
                part.rule = replace(rule, exact=False)
    return layer


def to_escnn(layer: Layer, *, on: Domain | None = None) -> nn.Module:
    """The inverse of :func:`from_escnn`: a module of escnn, or a `SequentialModule` whose `in_type`
    are the fields that the layer reads.

    A convolution may have any weights. Filters that lie in the basis that `R2Conv` has by default
    come back in it, with as many weights as the original had; others in one with a ring through the
    places of each distance, which reaches all of them. A layer on `harmonics()` gets their rings.
    Group elements stand in the order of escnn's default mirror axis; the planes of a module with
    another axis are ordered differently.

    Args:
        layer: a `Conv` over `isotropic`, `lift` or `window(group=...)` for C(n) or D(n), or a
            `Sequential` that begins with one, of the layers in the table of :func:`from_escnn`.
        on: the domain of the layer's signals; a periodic one makes `padding_mode="circular"`
            where the window does not remember a mode.

    Raises:
        GeodlError: if a layer or its group is another one; if escnn cannot build the module, or is
            not installed.

    Example: `to_escnn(g.Sequential(*g.models.p4cnn()))(in_type(images))` are its logits.
    """
    name = type(layer).__name__
    with conversion(f"to_escnn({name})", layer, on):
        escnn_modules()
        if on is None:
            on = getattr(layer, "on", None)
        first = _first_convolution(name, layer)
        asked = f"to_escnn({_label(layer)})"
        return _to_part(layer, Place(asked, kind_read_by(asked, first), on, first.weight))


def _check_fields(asked: str, part: Any) -> None:
    """Refuse fields of other kinds, and other groups, before anything is converted."""
    if not type(part).__module__.startswith("escnn.nn."):
        return
    for kind in (getattr(part, "in_type", None), getattr(part, "out_type", None)):
        if kind is not None:
            group_of(asked, kind.gspace)
            fields_of(asked, kind)


@converts("escnn.SequentialModule")
def from_sequential_module(module: Any, on: Domain | None) -> Sequential:
    """`SequentialModule` as a `Sequential` under the same names."""
    if on is not None:
        found = "a container, which takes Signals"
        raise GeodlError(f"from_escnn(SequentialModule) with on={on}", found, "leave out on=")
    layer = Sequential()
    for name, part in module._modules.items():
        made = from_part(part, "escnn")
        made.training = part.training
        layer.add_module(name, made)
    layer.training = module.training
    return layer


@converts(Sequential, back="escnn", form="convolutions, norms, pools and pointwise modules")
def to_sequential_module(layer: Sequential, place: Place) -> nn.Module:
    """The inverse of :func:`from_sequential_module`."""
    _, layers = escnn_modules()
    twin = layers.SequentialModule()
    for name, part in layer._modules.items():
        assert part is not None
        made: Any = _to_part(part, place._replace(asked=f"to_escnn({_label(part)})"))
        if isinstance(part, Sequential) and len(part) == 0:
            made = layers.IdentityModule(place.kind)
        twin.add_module(name, made)
        place = place._replace(kind=made.out_type, on=target_of(part, place.on))
    twin.training = layer.training
    return twin


def _first_convolution(name: str, layer: nn.Module) -> Conv:
    """The first convolution over a group, whose fields are those that the model reads.

    Raises:
        GeodlError: if it has none.
    """
    for part in layer.modules():
        if isinstance(part, Conv) and sides_of(part.rule) is not None:
            return part
    do = "give a Conv over lift(...) or window(group=...), or a model that begins with one"
    raise GeodlError(f"to_escnn({name})", "no convolution over a group's window", do)


def _to_part(part: Any, place: Place) -> nn.Module:
    entries = BACK.get((type(part), "escnn"), [])
    for entry in entries:
        twin = entry.convert(part, place)
        if twin is not None:
            if not isinstance(part, Sequential):
                twin.train(part.training)
            return twin
    forms = "; ".join(entry.form for entry in entries)
    do = f"these have twins: {type(part).__name__} over {forms}"
    if not entries:
        known = sorted(kind.__name__ for kind, library in BACK if library == "escnn")
        do = f"convert what stands before it: Sequential(*model[:k]); {', '.join(known)} have twins"
    raise GeodlError(place.asked, "a layer that no module of escnn computes", do)


def _label(layer: Any) -> str:
    return getattr(layer, "label", type(layer).__name__)

"""Recurrent networks: one `Recurrent` for each layer and direction."""

from typing import Any

from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.conversion import with_parameters
from geodl.interop.converters import converts
from geodl.layer import Concat, Dropout, Layer, Recurrent, Sequential
from geodl.neighborhood import previous

PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
KINDS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN, "rnn_relu": nn.RNN}
FORWARD = [previous()]
BOTH = [previous(), previous().reverse()]
FORM = (
    "a Sequential of Recurrent layers, or of Concat(forward, reversed), "
    "of one kind, with equal Dropout between all or none"
)


@converts(nn.RNN, nn.GRU, nn.LSTM)
def from_recurrent(module: Any, on: Domain | None) -> Layer:
    """`nn.RNN`, `nn.GRU` or `nn.LSTM` as a `Recurrent`; with more layers or directions as a
    `Sequential` of them or of `Concat(forward, reversed)`, with `Dropout` between.
    """
    asked = f"from_torch({module})"
    if module.proj_size:
        raise GeodlError(
            asked,
            f"proj_size={module.proj_size}",
            "a state has one width here: use proj_size=0 and a Linear after",
        )
    if on is not None and (module.num_layers > 1 or module.bidirectional):
        raise GeodlError(
            f"{asked} with on={on}", "several layers, which take Signals", "convert without on="
        )
    parts: list[nn.Module] = []
    for depth in range(module.num_layers):
        if depth > 0 and module.dropout > 0:
            parts.append(Dropout(module.dropout))
        if module.bidirectional:
            parts.append(Concat(_one(module, depth, 0, on), _one(module, depth, 1, on)))
        else:
            parts.append(_one(module, depth, 0, on))
    layer: Any = parts[0] if len(parts) == 1 else Sequential(*parts)
    return layer.train(module.training)


def _one(module: Any, depth: int, way: int, on: Domain | None) -> Recurrent:
    """One layer (by its depth) in one direction (0 forward, 1 backward)."""
    directions = 1 + module.bidirectional
    width = module.input_size if depth == 0 else module.hidden_size * directions
    layer = Recurrent(width, module.hidden_size, module.mode.lower(), BOTH[way], on=on)
    # torch lists the parameters of both directions of a layer one after the other.
    given = module.all_weights[directions * depth + way]
    values = dict(zip(PARAMETERS, given, strict=False))
    if not module.bias:
        # Frozen: the twin has no biases to train.
        zeros = values["weight_ih"].detach().new_zeros(len(values["weight_ih"]))
        values |= {"bias_ih": zeros, "bias_hh": zeros}
    named = {f"{name}_l0": value for name, value in values.items()}
    return with_parameters(layer, module, **named)


@converts(Recurrent, Concat, Sequential, back="torch", form=FORM)
def to_recurrent(layer: Layer, on: Domain | None) -> nn.Module | None:
    """The inverse of :func:`from_recurrent`, batch first."""
    # A row without a recurrent layer is another family's.
    recurrent = any(isinstance(part, Recurrent) for part in layer.modules())
    if isinstance(layer, Sequential) and not recurrent:
        return None
    asked = f"to_torch({layer.label})"
    parts = list(layer.children()) if isinstance(layer, Sequential) else [layer]
    stages, dropout = _split(asked, parts)
    every = [one for ways in stages for one in ways]
    first = every[0]
    if first.options.cell not in KINDS:
        found = f"the cell {first.options.cell!r}"
        raise GeodlError(asked, found, f"torch has {', '.join(KINDS)}")
    kinds = {(one.options, one.hidden, len(ways)) for ways in stages for one in ways}
    if len(kinds) > 1:
        raise GeodlError(asked, "layers of different cells, widths or directions", f"give {FORM}")
    biased = not all(_is_biasless(asked, one) for one in every)
    twin = _empty_twin(first, len(stages), len(stages[0]), biased, dropout)
    names = PARAMETERS if biased else PARAMETERS[:2]
    values: dict[str, Tensor] = {}
    for depth, ways in enumerate(stages):
        for one, suffix in zip(ways, ("", "_reverse"), strict=False):
            for name in names:
                values[f"{name}_l{depth}{suffix}"] = getattr(one, f"{name}_l0")
    # The mode of the twin is that of its dropout, which alone reads it.
    return with_parameters(twin, dropout or layer, **values)


def _empty_twin(
    one: Recurrent, depth: int, directions: int, biased: bool, dropout: Any
) -> nn.RNNBase:
    cell = one.options.cell
    kind: Any = KINDS[cell]
    options: dict[str, Any] = {"bias": biased, "bidirectional": directions == 2}
    if dropout is not None:
        options["dropout"] = dropout.p
    if kind is nn.RNN:
        options["nonlinearity"] = cell.removeprefix("rnn_")
    return kind(one.channels_in, one.hidden, depth, batch_first=True, **options)


def _split(asked: str, parts: list[Any]) -> tuple[list[list[Recurrent]], Any]:
    """The directions of each layer, and one of the equal dropouts between them, None without."""
    dropouts = [part for part in parts if isinstance(part, Dropout | nn.Dropout)]
    layers = [part for part in parts if part not in dropouts]
    stages = [_directions(part) for part in layers]
    between = not dropouts or (parts[1::2] == dropouts and len(layers) == len(dropouts) + 1)
    equal = len({(part.p, part.training) for part in dropouts}) < 2
    known = all([one.rule for one in ways] in (FORWARD, BOTH) for ways in stages)
    if not (stages and between and equal and known):
        found = "a form that nn.RNN, nn.GRU and nn.LSTM do not have"
        raise GeodlError(asked, found, f"give {FORM}")
    return stages, next(iter(dropouts), None)


def _directions(part: Any) -> list[Recurrent]:
    """One recurrent layer, or the two of a `Concat`; nothing for other layers."""
    ways = list(part.children()) if isinstance(part, Concat) else [part]
    recurrent = [one for one in ways if isinstance(one, Recurrent)]
    if len(recurrent) < len(ways):
        return []
    return recurrent


def _is_biasless(asked: str, layer: Recurrent) -> bool:
    """Frozen zero biases, as `from_recurrent` makes of a twin without any."""
    biases = (layer.bias_ih_l0, layer.bias_hh_l0)
    if any(bias.requires_grad for bias in biases):
        return False
    if any(bias.is_meta for bias in biases):
        raise GeodlError(
            asked,
            "frozen biases without values, on the meta device",
            "move it to a device with .to_empty(device=...) and load its values first",
        )
    return not any(bool(bias.any()) for bias in biases)

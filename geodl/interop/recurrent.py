"""Recurrent networks, with their layers and directions."""

from typing import Any

from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.base import with_parameters
from geodl.layer import Concat, Dropout, Layer, Recurrent, Sequential
from geodl.neighborhood import previous

PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
FORWARD, BOTH = [previous()], [previous(), previous().reverse()]
CANON = (
    "a Sequential of Recurrent layers, or of Concat(forward, reversed), "
    "alike and with equal Dropout between all or none"
)


def from_recurrent(module: Any, on: Domain | None) -> Layer:
    """`nn.RNN`, `nn.GRU` or `nn.LSTM`: a Recurrent for each layer and direction."""
    if module.proj_size:
        found = f"proj_size={module.proj_size}"
        raise GeodlError(
            f"from_torch({module})",
            found,
            "a state has one width here: use proj_size=0 and a Linear after",
        )
    if on is not None and (module.num_layers > 1 or module.bidirectional):
        raise GeodlError(
            f"from_torch({module}, on={on})",
            "several layers, which take Signals",
            "convert without on=",
        )
    stages: list[nn.Module] = []
    for k in range(module.num_layers):
        ways = [
            _one(module, k, backwards, on)
            for backwards in ((False, True) if module.bidirectional else (False,))
        ]
        stages += [Dropout(module.dropout)] if k and module.dropout else []
        stages += [Concat(*ways) if module.bidirectional else ways[0]]
    layer = stages[0] if len(stages) == 1 else Sequential(*stages)
    assert isinstance(layer, Layer)
    return layer.train(module.training)


def _one(module: Any, k: int, backwards: bool, on: Domain | None) -> Recurrent:
    width = module.input_size if k == 0 else module.hidden_size * (2 if module.bidirectional else 1)
    layer = Recurrent(width, module.hidden_size, module.mode.lower(), BOTH[backwards], on=on)
    given = dict(
        zip(
            PARAMETERS,
            module.all_weights[2 * k + backwards if module.bidirectional else k],
            strict=False,
        )
    )
    for name in () if module.bias else PARAMETERS[2:]:
        given[name] = given["weight_ih"].new_zeros(
            len(given["weight_ih"])
        )  # frozen: the twin has no bias to train
    return with_parameters(layer, module, **{f"{name}_l0": value for name, value in given.items()})


def to_recurrent(layer: Layer, on: Domain | None) -> nn.Module:
    """The stack of Recurrent layers as one `nn.RNN`, `nn.GRU` or `nn.LSTM`, batch first."""
    stages, dropout = _stages(layer)
    first, rest = stages[0][0], [one for ways in stages for one in ways]
    if (
        any((one.options, one.hidden) != (first.options, first.hidden) for one in rest)
        or len({len(w) for w in stages}) > 1
    ):
        raise GeodlError(
            f"to_torch({layer.label})",
            "layers of different cells, widths or directions",
            f"give {CANON}",
        )
    kinds = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN, "rnn_relu": nn.RNN}
    cell, biased = first.options.cell, not all(_biasless(one) for one in rest)
    only = {"nonlinearity": cell.removeprefix("rnn_")} if kinds[cell] is nn.RNN else {}
    twin: Any = kinds[cell](
        first.channels_in,
        first.hidden,
        len(stages),
        bias=biased,
        batch_first=True,
        dropout=dropout,
        bidirectional=len(stages[0]) == 2,
        **only,
    )
    values: dict[str, Tensor] = {}
    for k, ways in enumerate(stages):
        for one, end in zip(ways, ("", "_reverse"), strict=False):
            values |= {
                f"{name}_l{k}{end}": getattr(one, f"{name}_l0")
                for name in PARAMETERS[: 4 if biased else 2]
            }
    return with_parameters(twin, layer, **values)


def _stages(layer: Layer) -> tuple[list[list[Recurrent]], float]:
    """The directions of each layer, and the dropout between them."""
    parts = list(layer.children()) if isinstance(layer, Sequential) else [layer]
    drops = (
        {part.p if isinstance(part, Dropout) else None for part in parts[1::2]}
        if len(parts) > 1
        else set()
    )
    dropped = len(drops) == 1 and None not in drops and len(parts) % 2 == 1
    stages = [_ways(part) for part in (parts[::2] if dropped else parts)]
    if not all([one.rule for one in ways] in (FORWARD, BOTH) for ways in stages):
        found = "a form that nn.RNN, nn.GRU and nn.LSTM do not have"
        raise GeodlError(f"to_torch({layer.label})", found, f"give {CANON}")
    return stages, drops.pop() or 0.0 if dropped else 0.0


def _ways(part: nn.Module) -> list[Recurrent]:
    """One direction or two; nothing for what is no recurrent layer."""
    ways = list(part.children()) if isinstance(part, Concat) else [part]
    return (
        [one for one in ways if isinstance(one, Recurrent)]
        if all(isinstance(one, Recurrent) for one in ways)
        else []
    )


def _biasless(layer: Recurrent) -> bool:
    """Frozen zero biases, as `from_torch` makes of a twin without any."""
    return not any(b.requires_grad or bool(b.any()) for b in (layer.bias_ih_l0, layer.bias_hh_l0))

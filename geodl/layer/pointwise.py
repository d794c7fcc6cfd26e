"""Modules that act on the last axis, the channels of each node alone: one list, and a promise."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_modules
from torch.nn.utils import parametrize

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.layer.base import Layer
from geodl.layer.check import check_function, check_is_signal, check_no_sender, check_values
from geodl.layer.trace import current_listener
from geodl.signal import Signal

ELEMENTWISE: frozenset[type[nn.Module]] = frozenset(  # each number alone, whatever its axis
    {
        nn.AlphaDropout,
        nn.CELU,
        nn.Dropout,
        nn.ELU,
        nn.GELU,
        nn.Hardshrink,
        nn.Hardsigmoid,
        nn.Hardswish,
        nn.Hardtanh,
        nn.Identity,
        nn.LeakyReLU,
        nn.LogSigmoid,
        nn.Mish,
        nn.PReLU,
        nn.RReLU,
        nn.ReLU,
        nn.ReLU6,
        nn.SELU,
        nn.SiLU,
        nn.Sigmoid,
        nn.Softplus,
        nn.Softshrink,
        nn.Softsign,
        nn.Tanh,
        nn.Tanhshrink,
        nn.Threshold,
    }
)
POINTWISE: frozenset[type[nn.Module]] = ELEMENTWISE | {
    nn.GLU,
    nn.LayerNorm,
    nn.LazyLinear,
    nn.Linear,
    nn.LogSoftmax,
    nn.RMSNorm,
    nn.Softmax,
    nn.Softmin,
}
# What runs when a module is called, and not when a method of it is.
INTERCEPTS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_compiled_call_impl",
)
# Hooks of all modules, which torch keeps for itself.
EVERYWHERE = (
    torch_modules._global_forward_hooks,
    torch_modules._global_forward_pre_hooks,
    torch_modules._global_backward_hooks,
    torch_modules._global_backward_pre_hooks,
)
INSTEAD = {  # by the beginning of the name of a class of torch.nn
    "BatchNorm": "use g.BatchNorm(channels)",
    "LazyBatchNorm": "use g.BatchNorm(channels)",
    "GroupNorm": "use g.GroupNorm(groups, channels)",
    "InstanceNorm": "use g.InstanceNorm(channels)",
    "LazyInstanceNorm": "use g.InstanceNorm(channels)",
    "MaxPool": "use g.Pool(window(...))",
    "AvgPool": 'use g.Pool(window(...), "mean")',
    "AdaptiveMaxPool": 'use g.Readout("max") for one node, or g.Pool(window(...))',
    "AdaptiveAvgPool": 'use g.Readout() for one node, or g.Pool(window(...), "mean")',
    "ConvTranspose": "use g.Conv over window(...).reverse(), or g.interop.from_torch(module)",
    "Conv": "use g.Conv over window(...), or g.interop.from_torch(module)",
    "RNNCell": "use g.Recurrent, and its step for one node at a time",
    "LSTMCell": "use g.Recurrent, and its step for one node at a time",
    "GRUCell": "use g.Recurrent, and its step for one node at a time",
    "RNN": "use g.Recurrent, or g.interop.from_torch(module)",
    "LSTM": "use g.Recurrent, or g.interop.from_torch(module)",
    "GRU": "use g.Recurrent, or g.interop.from_torch(module)",
    "MultiheadAttention": "use g.Attention, or g.interop.from_torch(module)",
    "Transformer": "use g.models.transformer_encoder, or g.interop.from_torch(module)",
    "Embedding": "use g.Embedding(num, channels)",
    "Dropout": "use g.Dropout(p)",
    "Flatten": "use g.Readout(), or a window as large as the image",
    "Softmax": "use nn.Softmax(dim=-1)",
    "Softmin": "use nn.Softmin(dim=-1)",
    "LogSoftmax": "use nn.LogSoftmax(dim=-1)",
    "GLU": "use nn.GLU(dim=-1)",
    "LayerNorm": "use nn.LayerNorm(channels)",
    "RMSNorm": "use nn.RMSNorm(channels)",
    "PReLU": "use nn.PReLU()",
}


class Pointwise(Layer):
    """Your own module, of which you promise that it acts on the channels of each node alone.

    Containers, `step` and `certify` rely on it. `y[b, n] = module(x[b, n])` for every node n; a
    module that mixes nodes breaks the promise, and only a changed shape is noticed.

    Args:
        module: takes `[B, N, C]` and returns `[B, N, C_out]`.

    Raises:
        GeodlError: if it is not a module, has a layer inside, or is a module of torch that acts on
            another axis; at the call, if the answer is not `[B, N, C_out]`.

    >>> class Square(nn.Module):
    ...     def forward(self, x):
    ...         return x * x
    >>> Pointwise(Square())(Signal.sequence(torch.full((1, 2, 1), 3.0))).x.flatten().tolist()
    [9.0, 9.0]
    """

    nodewise = True
    transparent = True

    def __init__(self, module: nn.Module):
        super().__init__()
        _check_module("Pointwise(module)", module)
        _check_no_layer(module)
        for inner in leaves(module):
            if _is_torchs(inner) and not is_pointwise(inner):
                raise _refusal(inner)
        self.module = module

    def compute(self, receiver: Any, sender: Any, rule: Any) -> Signal:
        """The module on the values of each node."""
        check_no_sender(self, sender)
        return _on_values(self.module, receiver)

    def extra_repr(self) -> str:
        return type(self.module).__name__


def check_part(part: Any) -> nn.Module:
    """Check a part of a container: a layer, or a module on the list; anything else is refused by
    name, with what to use.

    Raises:
        GeodlError: if it is not a module; if it acts on another axis than the last, or it is not
            known on which.
    """
    _check_module("a container of layers", part)
    if isinstance(part, Layer):
        return part
    _check_no_layer(part)
    _check_listed(part)
    return part


def is_pointwise(module: nn.Module) -> bool:
    """Whether a module is on the list of those that act on the last axis, and set to do so.

    `nn.SyncBatchNorm`, which containers run on `[B N, C]`, is where it uses running statistics: in
    evaluation, if it keeps them.

    >>> is_pointwise(nn.LayerNorm(8)), is_pointwise(nn.LayerNorm([5, 8]))
    (True, False)
    """
    # The type itself and no subclass, which may compute anything.
    if type(module) in POINTWISE:
        return not _on_another_axis(module)
    parts = list(leaves(module))
    if parts != [module]:
        return all(is_pointwise(part) for part in parts)
    if type(module) is nn.SyncBatchNorm:
        return not module.training and module.running_mean is not None
    # A parametrized module has a type of its own, made by torch.
    known = parametrize.type_before_parametrizations(module) in POINTWISE
    return known and not _on_another_axis(module)


def instead_of(module: nn.Module) -> str:
    """What to use in place of a module of torch.nn; "" where nothing is known.

    >>> instead_of(nn.BatchNorm2d(8))
    'use g.BatchNorm(channels)'
    """
    name = type(module).__name__.removeprefix("Parametrized")
    kinds = [kind for kind in INSTEAD if name.startswith(kind)]
    if not kinds:
        return ""
    return INSTEAD[max(kinds, key=len)]


def run_pointwise(module: nn.Module, signal: Any) -> Signal:
    """A module on the list on the values of a signal; an event inside of `g.trace`.

    Raises:
        GeodlError: if the module is not on the list, which happens where it was put in after the
            container was built.
    """
    # By its very type, which is the usual case and a look into a set.
    if type(module) not in POINTWISE:
        _check_listed(module)
    listener = current_listener()
    if listener is None:
        return _on_values(module, signal)
    return listener.record(module, (signal,), lambda: _on_values(module, signal))


def stands_in_row(part: Any) -> bool:
    """Whether a part of a container may run in a row with its neighbors: it is on the list, or a
    layer of rows (a norm, a convolution over `itself()`) that is called by nobody else: hooks, and
    what `layer.compile()` made, run where the layer itself is called.
    """
    if type(part) in POINTWISE:
        return True
    if not isinstance(part, Layer) or not part.rowwise:
        return False
    return part.on is None and not is_intercepted(part)


def is_intercepted(module: nn.Module) -> bool:
    """Whether something runs when the module is called, and not when a method of it is."""
    held, intercepts = vars(module), False
    # Asked of every part at every call, where a generator takes longer than the questions.
    for name in INTERCEPTS:
        if held.get(name):
            intercepts = True
    return intercepts


def run_row(modules: Sequence[Any], signal: Any) -> Signal:
    """Parts that stand in a row, one after another, as each would run alone; where nobody listens,
    one signal is made of what the last one answers.

    Args:
        modules: one at least; :func:`stands_in_row` says of each that it may.
        signal: what the first one reads.
    """
    check_is_signal(modules[0], signal)
    # Sparse values are no rows of numbers: some layers read them by a kernel of their own.
    if current_listener() is not None or signal.x.layout != torch.strided:
        for module in modules:
            run = module
            if not isinstance(module, Layer):
                run = partial(run_pointwise, module)
            signal = run(signal)
        return signal
    # A signal for each of them would take longer than a module on a small graph (measured).
    x, domain = signal.x, signal.domain
    rows = x
    # Values of a batch are a matrix of rows. Most modules of torch make one of what they are given,
    # and a view of the answer: done once, it costs less on a small graph than in each of them.
    if len(modules) > 1 and _has_rows(x) and not any(map(names_axis, modules)):
        rows = x.flatten(0, 1)
    for module in modules:
        rows = _applied(module, rows, domain)
    if rows.dim() < x.dim():
        rows = rows.view(*x.shape[:-1], rows.shape[-1])
    if rows.dtype == x.dtype:
        return signal.carry_state(rows, domain)
    return signal.with_x(rows)


def _has_rows(x: Tensor) -> bool:
    """Whether values are `[B, N, C]` in one block of memory."""
    return x.layout == torch.strided and x.is_contiguous()


def names_axis(module: nn.Module) -> bool:
    """Whether a module names the last axis by its number among three."""
    return vars(module).get("dim") == 2


def _on_values(module: nn.Module, signal: Any) -> Signal:
    check_is_signal(module, signal)
    return signal.with_x(_applied(module, signal.x, signal.domain))


def _applied(module: nn.Module, x: Tensor, domain: Domain) -> Tensor:
    """A module's answer to values, which it takes and which it leaves on their nodes."""
    check_values(module, x, domain)
    y = _called(module, x)
    if not isinstance(y, Tensor) or y.shape[:-1] != x.shape[:-1]:
        found = f"shape {list(x.shape)} turned into {_shape_of(y)}"
        raise GeodlError(
            f"{type(module).__name__} on {domain}",
            found,
            "use modules that act on the last axis, and keep the others",
        )
    return y


def _called(module: Any, x: Tensor) -> Any:
    if type(module) in POINTWISE:
        return module(x)
    if isinstance(module, Layer):
        layer: Any = module  # a layer of rows: see `stands_in_row`
        if x.dim() == 2:
            return layer.on_rows(x)
        rows = layer.on_rows(x.flatten(0, 1))
        return rows.view(*x.shape[:-1], rows.shape[1])
    if type(module) is nn.SyncBatchNorm:
        # It takes channels on axis 1: all nodes of all rows are its batch.
        return module(x.flatten(0, 1)).reshape(x.shape)
    try:
        return module(x)
    except RuntimeError:
        # Of a module on the list the first parameter was looked at before.
        check_function(module, "module", module, x)
        raise


def leaves(module: Any) -> Iterator[nn.Module]:
    """The modules that a plain `nn.Sequential` runs one by one; any other module is its own."""
    # Classes of scripted modules have none: theirs is made for each module.
    forward = getattr(type(module), "forward", None)
    if forward is not nn.Sequential.forward:
        yield module
        return
    # Its children leave out a module that stands there a second time.
    for part in module:
        yield from leaves(part)


def _on_another_axis(module: nn.Module) -> bool:
    """Whether a module on the list is set to more or other axes than the last."""
    # Instance attributes only: for what it lacks, a module goes through three tables first.
    held = vars(module)
    if len(held.get("normalized_shape", (0,))) > 1 or held.get("num_parameters", 1) > 1:
        return True
    return held.get("dim", -1) not in (-1, 2)


def _check_listed(part: nn.Module) -> None:
    for inner in leaves(part):
        if type(inner) is not nn.SyncBatchNorm and not is_pointwise(inner):
            raise _refusal(inner)


def _check_module(asked: str, module: Any) -> None:
    if not isinstance(module, nn.Module):
        raise GeodlError(asked, f"a {type(module).__name__}", "give a module, as nn.ReLU()")


def _check_no_layer(module: nn.Module) -> None:
    inner = next((part for part in module.modules() if isinstance(part, Layer)), None)
    if inner is not None:
        raise GeodlError(
            f"{type(inner).__name__} inside a plain {type(module).__name__}",
            "a layer, which takes signals",
            "use geodl's own containers, as g.Sequential(...)",
        )


def _refusal(module: nn.Module) -> GeodlError:
    name = type(module).__name__
    if type(module).__module__.startswith("torch_geometric."):
        return GeodlError(
            f"{name} inside a container of layers",
            "a module of torch_geometric",
            f"convert it first: g.interop.from_pyg({name}(...))",
        )
    if not _is_torchs(module):
        return GeodlError(
            f"{name} inside a container of layers",
            "a module of which nobody has said that it acts on the last axis",
            f"if it treats each node alone, promise it: g.Pointwise({name}(...))",
        )
    return GeodlError(
        f"nn.{name} inside a container of layers",
        "a module that acts on another axis than the last",
        instead_of(module) or "use geodl's own layers, or g.interop.from_torch(module)",
    )


def _is_torchs(module: nn.Module) -> bool:
    kind: type = parametrize.type_before_parametrizations(module)
    return kind.__module__.startswith("torch.nn.")


def _shape_of(y: Any) -> str:
    return str(list(y.shape)) if isinstance(y, torch.Tensor) else f"a {type(y).__name__}"

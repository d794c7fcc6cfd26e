"""What tensors do and signals do not: functions of torch, methods and operators, refused in
words.
"""

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from torch import Tensor
from torch.overrides import resolve_name

from geodl.errors import GeodlError

FOUND = "a Signal, values together with their domain"
DO = "use signal.x and signal.with_x(y), or signal.map(function), which does both"
BINARY = {
    "sub": "-",
    "mul": "*",
    "truediv": "/",
    "floordiv": "//",
    "mod": "%",
    "pow": "**",
    "matmul": "@",
    "and": "&",
    "or": "|",
    "xor": "^",
    "lshift": "<<",
    "rshift": ">>",
}
OTHERS = {
    "radd": "... + signal",
    "neg": "-signal",
    "pos": "+signal",
    "invert": "~signal",
    "abs": "abs(signal)",
    "round": "round(signal)",
    "trunc": "math.trunc(signal)",
    "int": "int(signal)",
    "float": "float(signal)",
    "complex": "complex(signal)",
    "len": "len(signal)",
    "contains": "... in signal",
    "lt": "signal < ...",
    "le": "signal <= ...",
    "gt": "signal > ...",
    "ge": "signal >= ...",
    "getitem": "signal[...]",
    "setitem": "signal[...] = ...",
    "array": "a numpy array of a signal",
}
Class = TypeVar("Class", bound=type)


class MissingAttribute(GeodlError, AttributeError):
    """An attribute that a tensor has and a Signal does not; `hasattr` knows it as an
    AttributeError.
    """


def refuse_function(function: Any) -> NoReturn:
    """Say what to do in place of a function of torch on a Signal."""
    name = resolve_name(function) or getattr(function, "__name__", str(function))
    raise GeodlError(f"{name} of a Signal", FOUND, DO)


def refuse_attribute(name: str) -> NoReturn:
    """Say what to do in place of a method or attribute that only tensors have."""
    # Names with an underscore are asked for by copy, pickle and torch itself, with hasattr.
    if not name.startswith("_") and hasattr(Tensor, name):
        raise MissingAttribute(
            f"signal.{name}", FOUND, f"use signal.x.{name}, or signal.map(function)"
        )
    raise AttributeError(f"'Signal' object has no attribute {name!r}")


def refuse_operators(signal: Class) -> Class:
    """Add to a class, as a decorator, every operator of tensors but `s + t`: each says what to
    do.
    """
    words = dict(OTHERS)
    for name, sign in BINARY.items():
        words[name] = f"signal {sign} ..."
        words[f"r{name}"] = f"... {sign} signal"
    for name, asked in words.items():
        setattr(signal, f"__{name}__", _refusal(asked))
    return signal


def _refusal(asked: str) -> Callable[..., NoReturn]:
    def refuse(self: Any, *others: Any) -> NoReturn:
        raise GeodlError(asked, FOUND, DO)

    return refuse

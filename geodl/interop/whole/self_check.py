"""An import compared with its original, both run on the example that the import was made with."""

import copy
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from geodl.errors import GeodlError
from geodl.interop.parametrized import copy_model
from geodl.interop.whole.failures import Place
from geodl.interop.whole.tracing import Trace
from geodl.layer import Network, evaluated

# The largest difference of two formulas with the same meaning, relative to max|b|: it is rounding,
# by the precision in which both run. NARROW is that of precisions below single.
BOUNDS = {torch.float64: 1e-7, torch.float32: 1e-3}
NARROW = 0.1


class Original(NamedTuple):
    """A model, and what it is called with.

    Attributes:
        module: the model.
        args: the example's arguments in order.
        kwargs: those by name.
    """

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Imported(NamedTuple):
    """An import, and what is known of it.

    Attributes:
        asked: the call in words.
        network: the import.
        trace: the calls of its original.
        places: the lines of the original that its nodes stand for.
    """

    asked: str
    network: Network
    trace: Trace
    places: Mapping[str, Place | None]


def check_import(made: Imported, original: Original, on: str = "the example") -> None:
    """Refuse an import that computes something else than its original, in evaluation mode.

    Each layer was compared when it was made; what is found here is what no layer stands for, as a
    write through a view, and what layers make of each other's answers. Copies in double precision
    are compared, so that no rounding hides a formula that is another one; models that know no
    double precision, in their own. Models that are random in evaluation, or that fail there, are
    not compared.

    Args:
        made: the import.
        original: its original on the example.
        on: what the original is called with, in words.

    Raises:
        GeodlError: answers that differ by more than rounding.
    """
    tensors = [leaf for leaf in _leaves(original) if isinstance(leaf, Tensor)]
    if torch.compiler.is_compiling() or not all(map(_has_values, tensors)):
        return
    for change in (_doubled, _copied):
        wanted = _answers(change(original))
        if wanted is None:
            continue
        twin = original._replace(module=made.network)
        found = _answers(change(twin))
        if found is None and change is _doubled:
            continue
        if found is None or not _same(found, wanted):
            difference = _difference_in_words(found, wanted, on)
            if found is None:
                difference += _failure_of(change(twin), made.places)
            raise _refusal(made, difference)
        return


def _has_values(tensor: Tensor) -> bool:
    return type(tensor) in (Tensor, nn.Parameter) and not tensor.is_meta


def _leaves(original: Original) -> list[Any]:
    given = [*original.args, *original.kwargs.values()]
    held = []
    for value in given:
        if hasattr(value, "to_dict"):  # a Data of PyG
            value = value.to_dict()
        held.append(value)
    return pytree.tree_leaves((held, [*original.module.parameters()]))


def _copied(original: Original) -> Original:
    """A copy of everything, since a model may write into its arguments."""
    return _changed(original, Tensor.clone)


def _doubled(original: Original) -> Original:
    """The same in double precision."""

    def widen(tensor: Tensor) -> Tensor:
        if tensor.is_floating_point():
            return tensor.double()
        return tensor.clone()

    changed = _changed(original, widen)
    changed.module.double()
    return changed


def _changed(original: Original, change: Callable[[Tensor], Tensor]) -> Original:
    def of_tensor(tensor: Tensor) -> Tensor:
        return change(tensor.detach())

    def of_value(value: Any) -> Any:
        if hasattr(value, "to_dict"):  # a Data of PyG
            return copy.copy(value).apply(of_tensor)
        return pytree.tree_map_only(Tensor, of_tensor, value)

    args = tuple(of_value(value) for value in original.args)
    kwargs = {name: of_value(value) for name, value in original.kwargs.items()}
    return Original(copy_model(original.module), args, kwargs)


def _answers(original: Original) -> list[Tensor] | None:
    """The tensors that a model answers; None where it fails, or answers twice differently."""
    module, args, kwargs = original
    runs = []
    with ExitStack() as stack:
        stack.enter_context(evaluated(module))
        stack.enter_context(torch.random.fork_rng(devices=[]))
        for _ in range(2):
            again = _changed(Original(nn.Identity(), args, kwargs), Tensor.clone)
            try:
                answer = module(*again.args, **again.kwargs)
            # Code outside of geodl may raise anything.
            except Exception:
                return None
            leaves = pytree.tree_leaves(answer)
            runs.append([leaf for leaf in leaves if isinstance(leaf, Tensor)])
    first, second = runs
    if not all(map(_equal, first, second)):
        return None
    return first


def _equal(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    return torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


def _same(found: list[Tensor], wanted: list[Tensor]) -> bool:
    pairs = list(zip(found, wanted, strict=False))
    return len(found) == len(wanted) and all(_difference(*pair) == 0 for pair in pairs)


def _difference(found: Tensor, wanted: Tensor) -> float:
    """`max|a - b| / max(1, max|b|)`, 0 within rounding; infinite where the shapes differ."""
    if found.shape != wanted.shape:
        return float("inf")
    if not wanted.numel():
        return 0.0
    apart = (found.double() - wanted.double()).abs().nan_to_num(0.0).max()
    # NaN and infinite values must be at the same entries.
    if not torch.equal(found.isfinite(), wanted.isfinite()):
        return float("inf")
    error = float(apart / wanted.double().abs().nan_to_num(0.0, 0.0, 0.0).max().clamp(min=1))
    if error <= BOUNDS.get(wanted.dtype, NARROW):
        return 0.0
    return error


def _difference_in_words(found: list[Tensor] | None, wanted: list[Tensor], on: str) -> str:
    """How an import differs from its original."""
    if found is None or len(found) != len(wanted):
        return f"an import that fails on {on}"
    largest = max(map(_difference, found, wanted))
    return f"an import whose answer on {on} is {largest:.1e} off the model's"


def _failure_of(import_: Original, places: Mapping[str, Place | None]) -> str:
    """The node at which an import fails, the line of the model that it stands for, and the error;
    "" where it runs.
    """
    network: Any = import_.module
    name = ""
    try:
        with evaluated(network), torch.random.fork_rng(devices=[]):
            values = dict(
                zip(
                    network.inputs, network.door.enter(*import_.args, **import_.kwargs), strict=True
                )
            )
            for node in network.nodes:
                name = node.name
                values[name] = network.run_node(node, [values[one] for one in node.inputs])
            name = "its answer"
            network(*import_.args, **import_.kwargs)
    # Code outside of geodl may raise anything.
    except Exception as error:
        where = f", at {name}{places.get(name) or ''}"
        if not name:
            where = ""
        return f"{where}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return ""


def _refusal(made: Imported, difference: str) -> GeodlError:
    """The error of an import that differs from its original, with the likely cause."""
    do = "convert its parts one by one, and report it"
    written = _written_in_place(made.trace)
    if written:
        difference += f"; the model writes in place by {', '.join(written)}"
        do = "write y = y * 2 in place of y.mul_(2)"
    return GeodlError(made.asked, difference, do)


def _written_in_place(trace: Trace) -> list[str]:
    """The calls of a model that write into a tensor and whose answers are not used, by name."""
    calls: list[str] = []
    if trace.graph is None:
        return calls
    for node in trace.graph.nodes:
        name = _name_of(node)
        if not node.users and name.endswith("_") and not name.endswith("__"):
            calls.append(f"{name} ({node.name})")
    return calls


def _name_of(node: fx.Node) -> str:
    if node.op not in ("call_function", "call_method"):
        return ""
    return getattr(node.target, "__name__", str(node.target))

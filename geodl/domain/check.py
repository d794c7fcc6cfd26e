"""What domains that own tensors take: node numbers, values of edges, permutations.

A domain keeps a copy of its own that never changes. What the copy would lose (imaginary parts,
gradients, digits of large integers) is refused.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses import FakeTensor

from geodl.errors import GeodlError

REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INTEGER = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
FUNCTORCH: Any = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue] - not in stubs
EXACT = 2**53  # up to here float64 holds every integer


def device_of(value: Any) -> torch.device:
    """Where a value is, or where it becomes a tensor."""
    if isinstance(value, Tensor):
        return value.device
    return default_device()


def read_device(asked: str, device: Any) -> torch.device:
    """A device that torch knows.

    Args:
        asked: what the caller asked for, the beginning of the error.
        device: a `torch.device`, its name, or the number of an accelerator.

    Raises:
        GeodlError: if it is anything else.
    """
    if isinstance(device, torch.device):
        return device
    try:
        return torch.device(device)
    except (RuntimeError, TypeError) as error:
        found = "a device that torch does not know"
        do = 'give a device, as "cpu" or "cuda"'
        raise GeodlError(f"{asked} to {device!r}", found, do) from error


def default_device() -> torch.device:
    """Where lists become tensors: the default device of torch, but never meta, where there are no
    numbers.
    """
    device = torch.get_default_device()
    if device.type == "meta":
        return torch.device("cpu")
    return device


def has_values(tensor: Tensor) -> bool:
    """Whether a tensor holds numbers, which those on meta and fake ones do not."""
    return not (tensor.is_meta or isinstance(tensor, FakeTensor))


def check_has_values(asked: str, tensor: Tensor) -> None:
    """Refuse to plan with a tensor that holds no numbers."""
    if not has_values(tensor):
        found = "tensors without values, on meta or in a fake mode"
        raise GeodlError(asked, found, "use a device that holds them")


def as_tensor(
    asked: str, name: str, value: Any, device: torch.device, *, mapped: bool = False
) -> Tensor:
    """A tensor as it is; lists and numpy arrays as a tensor on a device.

    Args:
        asked: what the caller asked for, the beginning of the error.
        name: what the caller calls the value.
        value: a tensor, an array, or nested lists of numbers.
        device: where lists and arrays go.
        mapped: whether each sample may have its own under `torch.func.vmap`.

    Raises:
        GeodlError: if rows have different lengths, if there are strings or objects, if a tensor
            is sparse, or as :func:`check_unmapped`.
    """
    if isinstance(value, Tensor):
        if value.layout != torch.strided:
            raise GeodlError(asked, f"{name} of layout {value.layout}", "give a dense tensor")
        if not mapped:
            check_unmapped(asked, name, value)
        return value
    parts: list[Any] = []
    if isinstance(value, list | tuple):
        parts = list(value)
    try:
        if parts and all(isinstance(part, Tensor) for part in parts):
            return torch.stack(parts)
        if isinstance(value, np.ndarray) or any(isinstance(part, np.ndarray) for part in parts):
            # torch takes no negative strides, such as those of edges[::-1], and no foreign bytes.
            array = np.array(value, order="C")
            native = array.astype(array.dtype.newbyteorder("="), copy=False)
            return torch.from_numpy(native).to(device)
        return torch.as_tensor(value, device=device)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        found = f"a value for {name} that is not a tensor ({error})"
        raise GeodlError(asked, found, "give numbers, in rows of equal lengths") from error


def check_edge_index(asked: str, value: Any, device: torch.device) -> Tensor:
    """Edges `[2, E]` as a copy of torch.long.

    Args:
        asked: what the caller asked for, the beginning of the error.
        value: a tensor, an array, or two lists.
        device: where lists and arrays go.

    Raises:
        GeodlError: if the shape is another one, if the numbers are not integers, or if a tensor has
            no values (on meta).
    """
    index = as_tensor(asked, "edge_index", value, device)
    # No edges come in many shapes and dtypes: [], [[], []], torch.zeros(2, 0).
    if index.numel() == 0 and index.shape[-1] == 0:
        index = index.reshape(2, 0).long()
    if index.dim() != 2 or index.shape[0] != 2:
        do = "give [2, E]: row 0 sends, row 1 receives"
        raise GeodlError(asked, f"shape {list(index.shape)}", do)
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        do = "node numbers are integers: use edge_index.long()"
        raise GeodlError(asked, f"dtype {index.dtype}", do)
    if not has_values(index):
        raise GeodlError(asked, "a tensor without values", "build the graph where its edges are")
    # Wide unsigned integers turn negative here, and are refused as node numbers afterwards.
    return index.detach().long().clone()


def check_node_numbers(index: Tensor, num_nodes: int) -> None:
    """Refuse edges `[2, E]` of nodes that do not exist."""
    if index.numel() == 0:
        return
    # A batch of small graphs is checked at every step, and one look by numpy takes a fourth of the
    # time of two by torch: as numbers without a sign, negative ones are the largest.
    if index.device.type == "cpu" and int(index.numpy().view(np.uint64).max()) < num_nodes:
        return
    least, largest = int(index.min()), int(index.max())
    if least < 0 or largest >= num_nodes:
        asked = f"Graph with {num_nodes} nodes and {index.shape[1]} edges"
        found = f"node numbers from {least} to {largest}"
        raise GeodlError(asked, found, f"node numbers lie in 0..{num_nodes - 1}")


def check_edge_values(asked: str, name: str, value: Any, index: Tensor) -> Tensor:
    """One value for each edge, as a copy.

    Args:
        asked: what the caller asked for, the beginning of the error.
        name: "edge_weight", "edge_attr" or "edge_type".
        value: `[E]`, attributes `[E, ...]`.
        index: the edges `[2, E]`.

    Raises:
        GeodlError: if the shape or device is another one, if a gradient would be lost in the copy,
            if weights are not finite real numbers, or if types are not integers from 0.
    """
    values = as_tensor(asked, name, value, index.device)
    count, is_attr = index.shape[1], name == "edge_attr"
    if values.shape[:1] != (count,) or not (is_attr or values.dim() == 1):
        shape = f"[{count}{', ...' * is_attr}]"
        found = f"{name} of shape {list(values.shape)}"
        raise GeodlError(asked, found, f"give {name} of shape {shape}")
    if values.device != index.device:
        found = f"{name} on {values.device} and edge_index on {index.device}"
        raise GeodlError(asked, found, "move them to one device")
    if not has_values(values):
        raise GeodlError(asked, f"{name} without values", "build the graph where its edges are")
    if values.requires_grad:
        found = f"{name} that asks for a gradient, which a graph's frozen copy would lose"
        do = "give it as the state of edges, Signal(x, graph, edges=...), or detached"
        if name == "edge_weight":
            do = "learn it by graph.with_weights(weight), or relation.with_weights(weight)"
        raise GeodlError(asked, found, do)
    if name == "edge_weight":
        values = _real(asked, values)
    if name == "edge_type":
        values = _relation_numbers(asked, values)
    return values.detach().clone()


def check_link_weights(asked: str, value: Any, index: Tensor) -> Tensor:
    """Weights that come with each call, `[E]` or `[B, E]`: the very tensor, no copy of it.

    Raises:
        GeodlError: if the shape or device is another one, or if the weights are not finite floating
            point numbers.
    """
    weight = as_tensor(asked, "weight", value, index.device, mapped=True)
    count = index.shape[1]
    if weight.dim() not in (1, 2) or weight.shape[-1] != count:
        found = f"weights of shape {list(weight.shape)}"
        raise GeodlError(asked, found, f"give weights of shape [{count}] or [B, {count}]")
    if weight.dtype not in REAL:
        do = "give real floating point numbers, as weight.float()"
        raise GeodlError(asked, f"weights of dtype {weight.dtype}", do)
    if weight.device != index.device:
        found = f"weights on {weight.device} and edges on {index.device}"
        raise GeodlError(asked, found, "move them to one device")
    if can_be_read(weight) and not torch.isfinite(weight).all():
        do = "clean the weights, or set those of missing edges to 0"
        raise GeodlError(asked, "NaN or infinite weights", do)
    return weight


def can_be_read(tensor: Tensor) -> bool:
    """Whether Python may look at the numbers of a tensor: it may not while a compiler traces, under
    transforms of torch.func, or where there are none.
    """
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return False
    return has_values(tensor)


def check_unmapped(asked: str, what: str, values: Tensor) -> None:
    """Refuse numbers that `torch.func.vmap` maps over where which nodes and links there are is read
    from them: samples have one structure.

    Args:
        asked: what the caller asked for, the beginning of the error.
        what: the structure that is read, in the plural.
        values: the tensor.

    Raises:
        GeodlError: if they differ from sample to sample.
    """
    if torch.compiler.is_compiling():
        return
    # The tensor is asked, not torch: constants are made outside of the transforms of the caller.
    if any(FUNCTORCH.is_batchedtensor(one) for one in _layers(values)):
        found = f"{what} that would differ from sample to sample under torch.func.vmap"
        do = "call it for each sample, or put them side by side: g.Batch([domain, ...])"
        raise GeodlError(asked, found, do)


def values_of_all_samples(tensor: Tensor) -> Tensor:
    """The tensor that the transforms of `torch.func` have wrapped, in whatever order of axes: its
    numbers may be read.
    """
    *_, innermost = _layers(tensor)
    return innermost


def _layers(tensor: Tensor) -> Iterator[Tensor]:
    """A tensor, and those inside it: each transform wraps what the one before made."""
    yield tensor
    while FUNCTORCH.is_functorch_wrapped_tensor(tensor):
        tensor = FUNCTORCH.get_unwrapped(tensor)
        yield tensor


def check_finite(asked: str, values: Tensor, consequence: str) -> None:
    """Refuse NaN and infinite values where a result would hide them or be NaN everywhere.

    Arithmetic on NaN gives NaN, as in torch; a decision (the largest score, the nearest node) would
    be made at random. Asked wherever values may be read, as :func:`can_be_read` says.

    Args:
        asked: what the caller asked for, the beginning of the error.
        values: any floating point or complex tensor.
        consequence: what would become of the result, "which ..." or "under which ...".

    Raises:
        GeodlError: if a value is NaN or infinite.
    """
    if can_be_read(values) and not torch.isfinite(values).all():
        found = f"NaN or infinite values, {consequence}"
        raise GeodlError(asked, found, "clean them first, as x.nan_to_num()")


def _real(asked: str, weight: Tensor) -> Tensor:
    """Weights as floating point numbers, none of them changed."""
    found = f"edge weights of dtype {weight.dtype}"
    if weight.is_complex():
        raise GeodlError(asked, found, "give real numbers, as weight.abs() or weight.real")
    if weight.dtype == torch.bool:
        raise GeodlError(asked, found, "keep the edges that are there: edge_index[:, weight]")
    if weight.dtype not in REAL + INTEGER:
        raise GeodlError(asked, found, "use weight.float() or weight.double()")
    if weight.dtype in INTEGER:
        # Python compares integers exactly, where a tensor of int64 would wrap at -2^63.
        if weight.numel() and max(int(weight.max()), -int(weight.min())) > EXACT:
            found = "integer edge weights beyond 2^53, which float64 does not hold exactly"
            raise GeodlError(asked, found, "use smaller numbers, or weight.double()")
        return weight.double()
    if not torch.isfinite(weight).all():
        do = "clean the weights, or leave the edges out"
        raise GeodlError(asked, "NaN or infinite edge weights", do)
    return weight


def _relation_numbers(asked: str, kind: Tensor) -> Tensor:
    if not kind.numel():
        return kind.long()  # an empty list becomes a tensor of floats
    found = f"edge_type with dtype {kind.dtype} or negative numbers"
    refusal = GeodlError(asked, found, "give relation numbers from 0")
    if kind.is_floating_point() or kind.is_complex() or kind.dtype == torch.bool:
        raise refusal
    kind = kind.long()
    if kind.numel() and int(kind.min()) < 0:
        raise refusal
    return kind


def check_permutations(asked: str, value: Any, device: torch.device) -> Tensor:
    """Permutations of N points `[G, N]`, each of 0..N-1 once in every row, as a copy of torch.long.

    Raises:
        GeodlError: if the shape is another one, if the numbers are not integers, or if a row is not
            a permutation.
    """
    moves = as_tensor(asked, "permutations", value, device)
    is_integer = not (moves.is_floating_point() or moves.is_complex() or moves.dtype == torch.bool)
    if moves.dim() != 2 or moves.shape[1] == 0 or not is_integer:
        do = "give integers [G, N], one permutation of the nodes in each row"
        raise GeodlError(asked, f"{moves.dtype} of shape {list(moves.shape)}", do)
    if not has_values(moves):
        raise GeodlError(asked, "a tensor without values", "give the permutations themselves")
    moves = moves.detach().long().clone()
    every = torch.arange(moves.shape[1], device=moves.device)
    if not torch.equal(moves.sort(dim=1).values, every.expand_as(moves)):
        found = "a row that is not a permutation"
        raise GeodlError(asked, found, f"each row holds each of 0..{len(every) - 1} once")
    return moves

"""What signals refuse, in words: values, sums, masks that do not fit."""

from typing import Any

import torch
from torch import Tensor

from geodl.domain import Domain, same_place
from geodl.domain.check import check_unmapped
from geodl.errors import GeodlError


def check_values(x: Any, domain: Any) -> None:
    """Refuse values that do not fit the nodes of the domain.

    Every layer makes a signal: words are put together only where something is wrong.
    """
    if not isinstance(x, Tensor) or not isinstance(domain, Domain):
        found = f"a {type(x).__name__} on a {type(domain).__name__}"
        do = "give a tensor [B, N, C] and a domain, as Grid(28, 28)"
        raise GeodlError("a Signal", found, do)
    if x.layout not in (torch.strided, torch.sparse_csr):
        do = "use x.to_dense() or x.to_sparse_csr()"
        raise GeodlError(f"a Signal on {domain}", f"x of layout {x.layout}", do)
    num_axes = 3
    if x.layout == torch.sparse_csr:
        num_axes = 2  # torch's CSR products know no batch
    if x.dim() != num_axes:
        do = "give [B, N, C]; x[None] adds a batch axis"
        raise GeodlError(f"a Signal on {domain}", f"x of shape {list(x.shape)}", do)
    if x.shape[-2] != domain.num_nodes:
        found = f"x of shape {list(x.shape)}, {x.shape[-2]} nodes"
        raise GeodlError(f"a Signal on {domain}", found, f"give [B, {domain.num_nodes}, C]")
    if not x.is_floating_point():
        _check_tokens(x, domain)
    if domain.cache is not None and domain.device != x.device:
        found = f"x on {x.device} and the domain on {domain.device}"
        do = f"move one: domain.to({str(x.device)!r})"
        raise GeodlError(f"a Signal on {domain}", found, do)


def _check_tokens(x: Tensor, domain: Domain) -> None:
    """Refuse what is neither floating point nor one channel of token numbers; complex values live
    on a Spectrum alone.
    """
    if x.dtype == torch.long and x.shape[2:] == (1,):
        return
    do = "use x.float(), or one channel of torch.long for tokens"
    if x.is_complex():
        if domain.frequencies_of is not None:
            return
        do = "give real and imaginary parts as channels: torch.view_as_real(x).flatten(-2)"
    raise GeodlError(f"a Signal on {domain}", f"x of dtype {x.dtype}", do)


def check_edges(edges: Any, x: Tensor, domain: Domain) -> None:
    """Refuse a state of edges that is not `[1 or B, E, C]`, one row for each link of the domain."""
    asked = f"the edges of a Signal on {domain}"
    _check_state(asked, "edges", edges, x)
    if edges.shape[1] != domain.num_links:
        found = f"edges of shape {list(edges.shape)}, {edges.shape[1]} rows"
        do = f"give one row for each link: [{_batches(x)}, {domain.num_links}, C]"
        raise GeodlError(asked, found, do)


def check_globals(state: Any, x: Tensor, domain: Domain) -> None:
    """Refuse a state of whole graphs that is not `[1 or B, D, C]`, one row for each member."""
    asked = f"the globals of a Signal on {domain}"
    _check_state(asked, "globals", state, x)
    if state.shape[1] != domain.num_members:
        found = f"globals of shape {list(state.shape)}, {state.shape[1]} rows"
        do = f"give one row for each member: [{_batches(x)}, {domain.num_members}, C]"
        raise GeodlError(asked, found, do)


def _check_state(asked: str, name: str, state: Any, x: Tensor) -> None:
    """Refuse a state that is not a dense floating-point tensor `[1 or B, rows, C]` where the values
    are.
    """
    if not isinstance(state, Tensor):
        raise GeodlError(asked, f"a {type(state).__name__}", "give a tensor [B, rows, C]")
    found, do = "", ""
    if state.layout != torch.strided:
        found, do = f"{name} of layout {state.layout}", "give a dense tensor"
    elif state.dim() != 3:
        found = f"{name} of shape {list(state.shape)}"
        do = f"give [{_batches(x)}, rows, C]; {name}[None] adds a batch axis"
    elif not state.is_floating_point():
        found, do = f"{name} of {state.dtype}", "use .float(), or an embedding of the numbers"
    elif state.device != x.device:
        found = f"{name} on {state.device} and x on {x.device}"
        do = "move both to one device"
    elif state.shape[0] not in (1, batch_of(x)):
        found = f"{name} of a batch of {state.shape[0]} for a batch of {batch_of(x)}"
        do = f"give a batch of {_batches(x)}"
    if found:
        raise GeodlError(asked, found, do)


def _batches(x: Tensor) -> str:
    """The sizes that the batch axis of a state may have, in words."""
    count = batch_of(x)
    if count == 1:
        return "1"
    return f"1 or {count}"


def batch_of(x: Tensor) -> int:
    """B; sparse values `[N, C]` have no batch axis and count as one."""
    if x.layout == torch.sparse_csr:
        return 1
    return x.shape[0]


def check_addends(one: Any, other: Any) -> None:
    """Refuse a sum that would broadcast, cast or mix domains."""
    if not isinstance(other, type(one)):
        do = "add two Signals, or use signal.map(lambda x: x + ...)"
        raise GeodlError("the sum of a Signal and something else", describe(other), do)
    found, do = "", ""
    if not same_place(one.domain, other.domain):
        found, do = "two domains", "bring both to one domain first"
    elif one.shape != other.shape:
        found = f"shapes {list(one.shape)} and {list(other.shape)}"
        do = "give equal shapes: nothing is broadcast"
    elif one.device != other.device:
        found, do = f"{one.device} and {other.device}", "move both to one device"
    elif torch.long in (one.dtype, other.dtype):
        found, do = "tokens, which are names and no amounts", "begin with an Embedding"
    elif one.dtype != other.dtype and not mixes_dtypes(one.device):
        found, do = f"{one.dtype} and {other.dtype}", "convert one with .to(dtype)"
    if found:
        raise GeodlError(f"the sum of signals on {one.domain} and {other.domain}", found, do)


def mixes_dtypes(device: torch.device) -> bool:
    """Whether autocast is on for a device, under which values of several dtypes may meet."""
    # Meta tensors have no autocast; to ask torch whether a device has one breaks older compilers.
    return device.type != "meta" and torch.is_autocast_enabled(device.type)


def row_lengths(x: Tensor, mask: Any) -> list[int]:
    """How many tokens each row has, once the mask is known to be one."""
    asked, shape = f"Signal.sequence(x, mask) with x of shape {list(x.shape)}", x.shape[:2]
    do = f"give booleans {list(shape)} on {x.device}, True where a token exists"
    if not isinstance(mask, Tensor):
        raise GeodlError(asked, f"a mask that is a {type(mask).__name__}", do)
    if (mask.dtype, mask.shape, mask.device) != (torch.bool, shape, x.device):
        found = f"a mask that is {list(mask.shape)}, {mask.dtype}, {mask.device}"
        raise GeodlError(asked, found, do)
    check_unmapped(asked, "lengths of rows", mask)
    lengths = mask.sum(1)
    # A row without a gap has all its tokens before its padding, so that its length tells the mask.
    without_gap = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
    wrong = (lengths == 0) | (mask != without_gap).any(1)
    if wrong.any():
        row = int(wrong.nonzero()[0, 0])
        fault = "with padding before a token"
        if lengths[row] == 0:
            fault = "without a token"
        do = "put the padding last, and leave empty rows out"
        raise GeodlError(asked, f"row {row} {fault}", do)
    return lengths.tolist()


def describe(x: Any) -> str:
    """A value in few words."""
    if isinstance(x, Tensor):
        return f"{x.dtype} of shape {list(x.shape)}"
    return f"a {type(x).__name__}"


def check_function(function: Any) -> None:
    """Refuse to apply what cannot be called."""
    if not callable(function):
        do = "give a function of x, as torch.cos"
        raise GeodlError(f"signal.map({function!r})", f"a {type(function).__name__}", do)


def check_dtype(asked: str, dtype: Any) -> None:
    """Refuse what is neither a dtype nor None."""
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise GeodlError(f"{asked} to {dtype!r}", f"a {type(dtype).__name__}", "give a torch.dtype")

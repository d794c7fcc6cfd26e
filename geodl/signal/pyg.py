"""What a signal reads of PyG's data."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from geodl.domain import Batch, Domain, Graph
from geodl.domain.convert import parts_of_pyg, pyg_attributes, pyg_starts
from geodl.errors import GeodlError

GLOBALS = "u"  # what PyG's MetaLayer calls the state of whole graphs


class PygParts(NamedTuple):
    """The arguments of a Signal."""

    x: Tensor
    domain: Domain
    edges: Tensor | None
    globals: Tensor | None


def read_pyg(data: Any, name: str | None) -> PygParts:
    """Values, domain, edges and globals of a PyG `Data` or `Batch`.

    Args:
        data: with `x`; a `Batch` stays merged.
        name: the attribute of whole graphs to read as globals; None for `u`, where there is one.

    Raises:
        GeodlError: if it is not PyG data, if it has no `x` or no attribute of that name, or if
            attributes have other shapes.
    """
    asked = f"Signal.from_pyg({type(data).__name__})"
    held = pyg_attributes(data)
    parts = parts_of_pyg(data, held)
    if held.get("ptr") is None and held.get("batch") is None:
        domain: Domain = Graph.from_parts(parts)
    else:
        domain = Batch.from_parts(parts, pyg_starts(held, parts.num_nodes))
    x, attributes = held.get("x"), parts.edge_attr
    if not isinstance(x, Tensor) or x.dim() != 2:
        do = "give data.x of shape [N, C], as torch.ones(data.num_nodes, 1)"
        raise GeodlError(asked, f"x {_said_of(x)}", do)
    # What the signal holds is the very tensor, so that a gradient comes back to the data.
    edges = None
    if attributes is not None:
        edges = _rows(asked, "edge_attr", attributes, domain.num_links)
    state = held.get(name or GLOBALS)
    if state is None and name is not None:
        found = f"no attribute {name!r}"
        raise GeodlError(asked, found, f"choose one of {', '.join(sorted(map(str, data.keys())))}")
    if state is not None:
        state = _rows(asked, name or GLOBALS, state, domain.num_members)
    return PygParts(x[None], domain, edges, state)


def _rows(asked: str, name: str, value: Any, count: int) -> Tensor:
    """A state of `count` rows as `[1, count, C]`; one number a row is one channel."""
    do = f"give [{count}, C] of floating point, or leave {name} out: del data.{name}"
    if not isinstance(value, Tensor):
        raise GeodlError(asked, f"{name} {_said_of(value)}", do)
    rows = value
    # PyG leaves the state of one graph as [C], and the only number of each edge as [E].
    if value.dim() == 1 and count == 1 and len(value) != 1:
        rows = value[None]
    elif value.dim() == 1:
        rows = value[:, None]
    if rows.dim() != 2 or len(rows) != count or not rows.is_floating_point():
        raise GeodlError(asked, f"{name} {_said_of(value)}", do)
    return rows[None]


def _said_of(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"of {value.dtype} and shape {list(value.shape)}"
    return f"of type {type(value).__name__}"

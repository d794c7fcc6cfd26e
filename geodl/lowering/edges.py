"""`edges`: write the rule out and call the reference. Last in every list, and never refuses."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DynamicOutputShapeException

from geodl import reference
from geodl.errors import GeodlError
from geodl.lowering.base import Call, Lowering, TensorOrNone
from geodl.lowering.differentiable import refuse_sparse_values
from geodl.lowering.edge_features import Edge, EdgeReader, edge_reader
from geodl.lowering.message_edges import MessageEdges, message_edges
from geodl.lowering.scores import SCORES, Score
from geodl.neighborhood.base import Neighborhood
from geodl.neighborhood.edges import Edges
from geodl.neighborhood.structure import Stencil


class WrittenOut(NamedTuple):
    """The rule written out, and what the verb's options name.

    Attributes:
        edges: on the values' device.
        num_receivers: M.
        option: a reduction.
    """

    edges: Edges
    num_receivers: int
    option: Any


class Attention(NamedTuple):
    """The rule written out, and what a layer's attention reads.

    Attributes:
        edges: on the values' device.
        num_receivers: M.
        score: the score.
        reader: where the edges find their features; None where they have none.
    """

    edges: Edges
    num_receivers: int
    score: Score
    reader: EdgeReader | None


class Messages(NamedTuple):
    """The rule written out, with what messages read along the edges.

    Attributes:
        along: the edges.
        reductions: by name; none where the messages themselves are the answer.
    """

    along: MessageEdges
    reductions: tuple[str, ...]


class Recurrence(NamedTuple):
    """The rule written out for nodes that are computed in order.

    Attributes:
        edges: on the values' device.
        num_nodes: N.
        member: `[N]` the member that each node belongs to.
        last: the nodes from which no other receives, in the order of their numbers.
    """

    edges: Edges
    num_nodes: int
    member: Tensor
    last: Tensor


def never(call: Call) -> str:
    """Every rule can be written out."""
    return ""


def written_out(call: Call, rule: Neighborhood | None = None) -> Edges:
    """The edges of a rule on the values' device; without weights where these come with the call.

    Args:
        call: between whose domains the edges run.
        rule: by default the call's own.

    Raises:
        GeodlError: weights that come with the call, to a rule that gives entries of its own and
            cannot carry them.
    """
    if rule is None:
        rule = call.rule
    if call.open_entries:
        _check_reads_entries(call)
        edges = rule.carry(call.source, call.target).edges
    else:
        edges = rule.edges(call.source, call.target)
    # A rule that says that it ignores weights has entries of its norm alone.
    ignores = getattr(rule, "weights", None) is False
    if edges.weight is not None and call.source.runtime_weight is not None and not ignores:
        asked = f"{rule} on {call.source}"
        found = "weights that come with each call, which this rule does not carry to its entries"
        raise GeodlError(asked, found, "use adjacency(), laplacian() or a polynomial of them")
    return edges.map_columns(lambda column: column.to(call.spec.device))


def _check_reads_entries(call: Call) -> None:
    """Refuse weights that come with the call where the verb reads none such."""
    if getattr(call.options, "reads_entries", False):
        return
    asked = f"{call.rule} on {call.source}"
    do = "give them as the state of edges, Signal(x, graph, edges=w[None, :, None])"
    raise GeodlError(asked, "weights that come with each call", do)


def unweighted(call: Call) -> Edges:
    """The edges, refused when they carry weights that the verb would have to drop."""
    if not call.open_entries:
        edges = written_out(call)
        if edges.weight is None:
            return edges
    asked = f"{call.rule} on {call.source} for a layer that weighs its neighbors itself"
    do = "use adjacency(weights=False), without a norm: it reads the links alone"
    if call.structure(Stencil) is not None:
        do = "use a window without a basis, and a group that maps the lattice to itself"
    raise GeodlError(asked, "weighted edges", f"{do}; the weighted sum is Propagate")


def _plan(call: Call) -> WrittenOut:
    return WrittenOut(written_out(call), call.target.num_nodes, None)


def _convolve(
    plan: WrittenOut,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    entries: Tensor | None = None,
) -> Tensor:
    if x.is_meta:
        raise _needs_values("the device meta")
    if x.layout == torch.sparse_csr:
        refuse_sparse_values()
        x = x.to_dense()[None]
    edges = plan.edges
    if entries is not None:
        edges = edges._replace(weight=entries)
    try:
        return reference.convolve(x, edges, weight, bias, plan.num_receivers)
    except DynamicOutputShapeException as error:
        raise _needs_values("a fake mode, in which tensors hold no values") from error


def _needs_values(found: str) -> GeodlError:
    # The reference gathers the edges of one type, and how many there are is a value.
    do = "use tensors that hold values"
    return GeodlError("a convolution on `edges`", found, do)


def _plan_attend(call: Call) -> Attention:
    edges = unweighted(call)
    score, reader = SCORES[call.options.score], edge_reader(call, edges)
    return Attention(edges, call.target.num_nodes, score, reader)


def _attend(
    plan: Attention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    vectors: TensorOrNone,
    bias: TensorOrNone,
    dropout: float,
    edge: Edge,
) -> Tensor:
    score = plan.score.reading(vectors)
    projected = carried = None
    if plan.reader is not None and edge is not None:
        projected = plan.reader.project(edge, query.shape[0])
        if plan.score.carries_edges:
            carried = projected
    return reference.attend(
        query,
        key,
        value,
        plan.edges,
        score,
        bias,
        dropout,
        plan.num_receivers,
        projected,
        carried,
    )


def _plan_message(call: Call) -> Messages:
    return Messages(message_edges(call, written_out(call)), call.options.reductions)


def _message(
    plan: Messages,
    receiver: Tensor,
    sender: Tensor,
    edge: Tensor | None,
    u: Tensor | None,
    function: Callable[..., Tensor],
    entries: Tensor | None = None,
) -> Tensor:
    along = plan.along
    e_ij = along.edge_values(edge, entries, receiver)
    if u is not None:
        u = along.at_receivers(u)
    if not plan.reductions:
        m = reference.messages(receiver, sender, e_ij, along.edges, function, u)
        return along.by_links(m)
    return reference.message(
        receiver,
        sender,
        e_ij,
        along.edges,
        function,
        plan.reductions,
        along.num_receivers,
        u,
    )


def _plan_recur(call: Call) -> Recurrence:
    edges, n = unweighted(call), call.source.num_nodes
    is_last = torch.ones(n, dtype=torch.bool, device=edges.src.device)
    is_last[edges.src] = False
    sizes = torch.tensor(call.source.sizes, device=edges.src.device)
    return Recurrence(edges, n, torch.repeat_interleave(sizes), is_last.nonzero()[:, 0])


def _recur(
    plan: Recurrence, x: Tensor, cell: Any, state: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    initial = tuple(s[plan.member].transpose(0, 1) for s in state)
    states = reference.recur(x, plan.edges, cell, initial, plan.num_nodes)
    return states[0], tuple(s[:, plan.last].transpose(0, 1) for s in states)


def _plan_pool(call: Call) -> WrittenOut:
    return WrittenOut(unweighted(call), call.target.num_nodes, call.options.reduction)


def _pool(plan: WrittenOut, x: Tensor) -> Tensor:
    return reference.pool(x, plan.edges, plan.option, plan.num_receivers)


convolve = Lowering("edges", never, _plan, _convolve)
attend = Lowering("edges", never, _plan_attend, _attend)
message = Lowering("edges", never, _plan_message, _message)
recur = Lowering("edges", never, _plan_recur, _recur)
pool = Lowering("edges", never, _plan_pool, _pool)

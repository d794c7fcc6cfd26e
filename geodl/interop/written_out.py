"""Layers on a domain that is named as modules of torch: who receives from whom is written out in a
table, and the parameters stay those of the layer, shared by edges of one type.

For every rule that is no window: all pairs by offset or orbit, a group's fiber, graphs. Attention
is in :mod:`geodl.interop.written_attention`. Each module says its formula on rows `[B, N, C]`, the
nodes in the order of the domain, as `nn.Linear` and `nn.MultiheadAttention` read them. `torch.fx`
follows it once, so that what is given back are calls of torch alone.
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from geodl.constants import cached_constants
from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.conversion import with_parameters
from geodl.interop.converters import converts
from geodl.interop.group_conv import REDUCED
from geodl.layer import Conv, Pool, Propagate
from geodl.lowering import describe_call
from geodl.lowering.base import Call
from geodl.lowering.edges import unweighted, written_out
from geodl.neighborhood import Edges


class Table(NamedTuple):
    """The edges of a rule, a row for each of M receivers, filled up to the longest of K edges.

    Attributes:
        senders: `[M, K]` who each receiver receives from.
        types: `[M, K]` the types of these edges.
        entries: `[M, K]` their weights, 1 of edges without; 0 where no edge is.
        there: `[M, K]` whether there is an edge.
    """

    senders: Tensor
    types: Tensor
    entries: Tensor
    there: Tensor

    @property
    def full(self) -> bool:
        """Whether all rows are equally long."""
        return bool(self.there.all())

    def names_all(self, senders: int) -> bool:
        """Whether each receiver receives from so many senders, all in their order."""
        if not self.full or self.senders.shape[1] != senders:
            return False
        return bool((self.senders == torch.arange(senders)).all())


def table_of(edges: Edges, receivers: int, senders: int) -> Table:
    """Edges sorted into rows.

    Args:
        edges: in any order.
        receivers: M.
        senders: N.
    """
    order = (edges.dst * senders + edges.src).argsort(stable=True)
    dst = edges.dst[order]
    count = torch.bincount(dst, minlength=receivers)
    # The place of an edge in its row: the edges before it, less those of the rows before.
    place = torch.arange(len(dst)) - (count.cumsum(0) - count)[dst]
    longest = max(count.tolist(), default=0)

    def in_rows(column: Tensor) -> Tensor:
        empty = column.new_zeros(receivers, longest)
        return empty.index_put((dst, place), column[order])

    entries = edges.weight
    if entries is None:
        entries = torch.ones(len(dst))
    there = torch.ones(len(dst), dtype=torch.bool)
    return Table(in_rows(edges.src), in_rows(edges.type), in_rows(entries), in_rows(there))


class OverTable(nn.Module, ABC):
    """What the modules of this file share: a table as buffers, as far as it is read.

    Args:
        table: who receives from whom.
        num_senders: N; a table that names all of them for each receiver is not read.
    """

    senders: Any
    there: Any

    def __init__(self, table: Table, num_senders: int):
        super().__init__()
        senders, there = table.senders, None
        if table.names_all(num_senders):
            senders = None
        if not table.full:
            there = table.there
        self.register_buffer("senders", senders)
        self.register_buffer("there", there)

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The formula."""

    def along(self, x: Tensor) -> Tensor:
        """What arrives over each edge: `[B, M, K, ...]`, or `[B, 1, N, ...]` where all receivers
        receive the same.
        """
        if self.senders is None:
            return x[:, None]
        return x[:, self.senders]


class Convolution(OverTable):
    """`y_i = b + sum over edges (j -> i) of type t of s_ij x_j W_t`, of a `Conv`."""

    types: Any
    entries: Any
    bias_type: Any

    def __init__(self, layer: Conv, table: Table, num_senders: int):
        super().__init__(table, num_senders)
        self.groups = layer.groups
        self.weight: Any = None
        self.bias: Any = None
        with_parameters(self, layer, weight=layer.weight, bias=layer.bias)
        entries = table.entries
        if bool((entries == 1).all()):
            entries = None
        self.register_buffer("types", table.types)
        self.register_buffer("entries", entries)
        self.register_buffer("bias_type", layer.bias_type)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight[self.types]
        if self.entries is not None:
            weight = weight * self.entries[..., None, None].type_as(weight)
        # In g blocks: b of the batch, m receivers, k edges, i channels in, o channels out.
        blocks = weight.unflatten(3, (self.groups, -1))
        if self.senders is None:
            x = x.unflatten(2, (self.groups, -1))
            y = torch.einsum("bkgi,mkigo->bmgo", x, blocks)
        else:
            x = self.along(x).unflatten(3, (self.groups, -1))
            y = torch.einsum("bmkgi,mkigo->bmgo", x, blocks)
        y = y.flatten(2)
        if self.bias is None:
            return y
        if self.bias_type is None:
            return y + self.bias
        return y + self.bias[self.bias_type]


class Propagation(OverTable):
    """`y_i = sum over edges of s_ij x_j`, of a `Propagate`; of each type apart with "concat"."""

    places: Any

    def __init__(self, layer: Propagate, table: Table, num_senders: int):
        super().__init__(table, num_senders)
        places = table.entries[..., None]
        if layer.keeps_apart:
            places = places * nn.functional.one_hot(table.types, layer.options.edge_types)
        self.register_buffer("places", places)

    def forward(self, x: Tensor) -> Tensor:
        along = self.along(x)
        return torch.einsum("bmkc,mkt->bmtc", along, self.places.type_as(along)).flatten(2)


class Pooling(OverTable):
    """The sum, mean, maximum or minimum over the edges of each receiver, of a `Pool`; 0 without
    edges.
    """

    counts: Any

    def __init__(self, layer: Pool, table: Table):
        # Every receiver needs a row of its own, also where all rows are alike.
        super().__init__(table, -1)
        self.reduction = layer.options.reduction
        self.register_buffer("counts", table.there.sum(1))

    def forward(self, x: Tensor) -> Tensor:
        along = self.along(x)
        if self.reduction in ("max", "min"):
            return self.extreme(along)
        if self.there is not None:
            along = along * self.there[..., None].type_as(along)
        total = along.sum(2)
        if self.reduction == "mean":
            return total / self.counts.clamp(min=1)[:, None].type_as(total)
        return total

    def extreme(self, along: Tensor) -> Tensor:
        """The maximum or minimum, of edges that are there."""
        if self.there is None:
            return getattr(along, REDUCED[self.reduction])(2)
        # What no edge brings is never the largest, or the smallest.
        absent = -torch.inf
        if self.reduction == "min":
            absent = torch.inf
        along = along.masked_fill(~self.there[..., None], absent)
        reduced = getattr(along, REDUCED[self.reduction])(2)
        return reduced.masked_fill((self.counts == 0)[:, None], 0.0)


@converts(Conv, back="torch", form="any rule, with on=domain")
def to_written_conv(layer: Conv, on: Domain | None) -> nn.Module | None:
    """A convolution on a named domain; over all pairs one product with a dense matrix."""
    if on is None:
        return None
    call = call_of(layer, on)
    return followed(Convolution(layer, table_of_call(written_out(call), call), on.num_nodes), layer)


@converts(Propagate, back="torch", form="any rule, with on=domain")
def to_written_propagation(layer: Propagate, on: Domain | None) -> nn.Module | None:
    """Sums over neighbors on a named domain."""
    if on is None:
        return None
    call = call_of(layer, on)
    return followed(Propagation(layer, table_of_call(written_out(call), call), on.num_nodes), layer)


@converts(Pool, back="torch", form="any rule, with on=domain")
def to_written_pool(layer: Pool, on: Domain | None) -> nn.Module | None:
    """A pool on a named domain."""
    if on is None:
        return None
    call = call_of(layer, on)
    return followed(Pooling(layer, table_of_call(unweighted(call), call)), layer)


def call_of(layer: Any, on: Domain) -> Call:
    """The call of a layer on a domain, refused as the layer refuses it."""
    x = next(layer.parameters(), torch.zeros(0))
    with cached_constants():
        target = layer.rule.target(on)
        call = describe_call(layer.rule, on, target, x, layer.options)
    if call.open_entries:
        found = "weights that come with each call"
        do = "name a domain with weights of its own, or with none"
        raise GeodlError(f"to_torch({layer.label})", found, do)
    return call


def table_of_call(edges: Edges, call: Call) -> Table:
    """The table of a call's edges, on the CPU."""
    edges = edges.map_columns(lambda column: column.cpu())
    return table_of(edges, call.target.num_nodes, call.source.num_nodes)


def followed(module: OverTable, layer: nn.Module) -> nn.Module:
    """The calls of torch that a module makes, with its parameters and buffers alone."""
    graph = fx.Tracer().trace(module)
    twin = fx.GraphModule(module, graph, type(module).__name__)
    like = next(layer.parameters(), torch.zeros(0))
    return twin.to(like.device).train(layer.training)

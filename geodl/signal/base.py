"""Signals: values on the nodes of a domain."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geodl.domain import Batch, Chain, Domain, Grid, same_place
from geodl.domain.check import read_device
from geodl.errors import GeodlError, positive
from geodl.neighborhood.relation import Relation
from geodl.signal.check import (
    check_addends,
    check_dtype,
    check_edges,
    check_function,
    check_globals,
    check_values,
    describe,
    row_lengths,
)
from geodl.signal.pyg import read_pyg
from geodl.signal.refusals import refuse_attribute, refuse_function, refuse_operators
from geodl.signal.restrict import check_nodes, induced
from geodl.signal.rows import padded_rows


@refuse_operators
@dataclass(frozen=True, eq=False)
class Signal:
    """Values on the nodes of a domain, and where they are given a state of its edges and of whole
    graphs.

    A Signal is not a tensor: layers take it, torch's functions take its `x`. It moves by
    :meth:`to`, adds to another one on its domain, and is a pytree of its tensors. Two signals are
    equal only when they are the same object. (`torch.utils.checkpoint` finds the gradient of a
    Signal only with `use_reentrant=False`.)

    Args:
        x: `[B, N, C]`, batch by nodes by channels; or sparse CSR `[N, C]` (B = 1), which `Dropout`,
            and `Conv` on a graph, read; or tokens, one channel `[B, N, 1]` of torch.long, read by
            `Embedding`.
        domain: where the N nodes live; `x` and the domain's tensors are on one device.
        edges: `[1 or B, E, C_e]`, a state for each link, in the order of `domain.links()`; of any
            floating dtype.
        globals: `[1 or B, D, C_g]`, a state for each member of the domain (D = 1 for all but a
            Batch); of any floating dtype.

    Raises:
        GeodlError: if `x` has another number of dimensions; if its nodes, `edges` or `globals` are
            not as many as those of the domain; if values are complex anywhere but on a
            Spectrum, or integers other than tokens; if a tensor is on another device.

    >>> s = Signal(torch.zeros(2, 25, 3), Grid(5, 5))
    >>> s.to_image().shape
    torch.Size([2, 3, 5, 5])
    >>> s.map(torch.cos).shape
    torch.Size([2, 25, 3])
    >>> Signal(torch.zeros(2, 3, 4), Chain(3), edges=torch.ones(1, 2, 1)).with_x(s.x[:, :3]).edges
    tensor([[[1.],
             [1.]]])
    """

    x: Tensor
    domain: Domain
    edges: Tensor | None = None
    globals: Tensor | None = None

    def __post_init__(self):
        check_values(self.x, self.domain)
        if self.edges is not None:
            check_edges(self.edges, self.x, self.domain)
        if self.globals is not None:
            check_globals(self.globals, self.x, self.domain)

    @property
    def shape(self) -> torch.Size:
        """The shape of `x`: `[B, N, C]`."""
        return self.x.shape

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of `x`."""
        return self.x.dtype

    @property
    def device(self) -> torch.device:
        """The device of `x`, and of the domain where it owns tensors."""
        return self.x.device

    def with_x(self, x: Tensor) -> "Signal":
        """Other values on the same nodes, of any channels and dtype; edges and globals stay.

        A state of a batch of its own asks x for the same batch; without one x may have any.
        """
        return Signal(x, self.domain, self.edges, self.globals)

    def with_edges(self, edges: Tensor | None) -> "Signal":
        """Another state of the edges, `[1 or B, E, C_e]`; None for none."""
        return Signal(self.x, self.domain, edges, self.globals)

    def with_globals(self, state: Tensor | None) -> "Signal":
        """Another state of whole graphs, `[1 or B, D, C_g]`; None for none."""
        return Signal(self.x, self.domain, self.edges, state)

    def carry_state(self, x: Tensor, domain: Domain) -> "Signal":
        """Values made of this signal on a domain, with the state that they still have there: the
        edges on the same nodes alone, the globals where there are as many members.
        """
        if self.edges is None and self.globals is None:
            if x.dim() != 3 or x.shape[1] != domain.num_nodes:
                return Signal(x, domain)
            made = object.__new__(Signal)  # every layer's answer: half of the time (measured)
            object.__setattr__(made, "x", x)
            object.__setattr__(made, "domain", domain)
            return made
        if same_place(domain, self.domain):
            return Signal(x, domain, self.edges, self.globals)
        state = self.globals
        if state is not None and domain.num_members != self.domain.num_members:
            state = None
        return Signal(x, domain, None, state)

    def map(self, function: Callable[[Tensor], Tensor]) -> "Signal":
        """The signal with `function` applied to `x` at once.

        Args:
            function: takes `[B, N, C]` and gives `[B, N, C_out]`.

        Raises:
            GeodlError: if `function` cannot be called, or if its result is not a tensor or has
                another batch or number of nodes.

        >>> Signal(torch.ones(1, 3, 2), Chain(3)).map(lambda x: x.sum(-1, keepdim=True)).shape
        torch.Size([1, 3, 1])
        """
        check_function(function)
        y = function(self.x)
        wanted = f"give [{', '.join(map(str, self.shape[:-1]))}, C]"
        asked = f"signal.map(function) on {self.domain}"
        if not isinstance(y, Tensor):
            raise GeodlError(asked, f"a {type(y).__name__}", wanted)
        if y.dim() != self.x.dim() or y.shape[:-1] != self.shape[:-1]:
            raise GeodlError(asked, f"values of shape {list(y.shape)}", wanted)
        return self.with_x(y)

    def __add__(self, other: "Signal") -> "Signal":
        """The sum of two signals on one domain, of one shape, dtype and device, with the edges and
        globals of the left one.

        >>> s = Signal(torch.ones(1, 3, 2), Chain(3))
        >>> (s + s).x.sum()
        tensor(12.)
        """
        check_addends(self, other)
        return self.with_x(self.x + other.x)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        refuse_function(func)

    def __getattr__(self, name: str) -> Any:
        refuse_attribute(name)

    def __bool__(self) -> bool:
        # Without it Python would ask for the length, which is refused.
        return True

    @staticmethod
    def image(x: Tensor, *, axes: int | None = None, periodic: bool = False) -> "Signal":
        """Images `[B, C, H, W]` or volumes `[B, C, D, H, W]` as a signal on a Grid; copies once
        unless x is channels-last.

        Args:
            x: `[B, C, *axes]`.
            axes: how many axes; needed for rows `[B, C, W]` alone (`axes=1`), which look like one
                image without its batch axis.
            periodic: whether the axes wrap around.

        Raises:
            GeodlError: if `x` has another number of dimensions.

        >>> Signal.image(torch.zeros(2, 3, 28, 28)).domain
        Grid(28, 28)
        """
        asked = "Signal.image(x)"
        if not isinstance(x, Tensor):
            raise GeodlError(asked, describe(x), "give a tensor [B, C, H, W]")
        if axes is None and x.dim() == 3:
            do = "add a batch axis: x[None], or name the axes of rows [B, C, W]: axes=1"
            raise GeodlError(asked, describe(x), do)
        count = x.dim() - 2
        if axes is not None:
            count = positive(f"{asked} with axes={axes!r}", axes)
        if not 1 <= count <= 3 or x.dim() != count + 2:
            raise GeodlError(asked, describe(x), "give [B, C, *axes] with one to three axes")
        domain = Grid(*x.shape[2:], periodic=periodic)
        # Channels-last images have this layout already: then nothing is copied.
        nodes = x.movedim(1, -1).reshape(x.shape[0], domain.num_nodes, x.shape[1])
        return Signal(nodes.contiguous(), domain)

    @staticmethod
    def sequence(x: Tensor, mask: Tensor | None = None) -> "Signal":
        """Sequences `[B, T, C]` as a signal on a Chain, without a copy; with a mask, padding is
        missing nodes.

        Args:
            x: `[B, T, C]`.
            mask: booleans `[B, T]`, True where a token exists: first all tokens of a row, then its
                padding. Rows of different lengths n_b become `[1, sum n_b, C]` on a Batch of
                chains, rows of one length n `[B, n, C]` on a Chain. A recurrent layer's `step`
                then ends at each row's last token.

        Raises:
            GeodlError: if `x` or the mask has another shape, the mask another dtype or device, or a
                row has no token or a gap.

        >>> Signal.sequence(torch.zeros(2, 7, 3)).domain
        Chain(7)
        >>> Signal.sequence(torch.zeros(2, 7, 3), torch.arange(7) < torch.tensor([[7], [2]])).domain
        Batch(2 members: Chain(7), Chain(2))
        """
        if not isinstance(x, Tensor) or x.dim() != 3:
            raise GeodlError("Signal.sequence(x)", describe(x), "give [B, T, C]")
        if x.shape[1] == 0:
            found = f"x of shape {list(x.shape)}, without a token"
            raise GeodlError("Signal.sequence(x)", found, "give one token at least")
        if mask is None:
            return Signal(x, Chain(x.shape[1]))
        lengths = row_lengths(x, mask)
        longest = max(lengths, default=x.shape[1])
        if min(lengths, default=longest) == longest:
            return Signal(x[:, :longest], Chain(longest))
        return Signal(x[mask][None], Batch([Chain(n) for n in lengths]).to(x.device))

    @staticmethod
    def tokens(ids: Tensor, mask: Tensor | None = None) -> "Signal":
        """Token numbers `[B, T]` (torch.long) as a signal `[B, T, 1]` on a Chain, for `Embedding`;
        masked as :meth:`sequence`.

        >>> Signal.tokens(torch.tensor([[3, 1, 2]])).x.shape
        torch.Size([1, 3, 1])
        """
        if not isinstance(ids, Tensor) or ids.dim() != 2 or ids.dtype != torch.long:
            do = "give [B, T] of torch.long: ids.long()"
            raise GeodlError("Signal.tokens(ids)", describe(ids), do)
        return Signal.sequence(ids[..., None], mask)

    @staticmethod
    def from_pyg(data: Any, *, globals: str | None = None) -> "Signal":
        """A PyG `Data`, or a `Batch`, which stays merged: `x` on its graph, `edge_attr` as edges,
        an attribute of whole graphs as globals.

        Args:
            data: with `x` `[N, C]` and edges; weights and types of edges stay with the graph.
            globals: the attribute that holds a row for each graph, `[D, C]` (`[C]` of a single
                one); by default `u`, as in PyG's `MetaLayer`, where there is one.

        Raises:
            GeodlError: if it is not PyG data or has several kinds of nodes, if it has no `x` or no
                edges, or if attributes have other shapes or are integers.

        >>> from torch_geometric.data import Data
        >>> Signal.from_pyg(Data(torch.ones(2, 3), torch.tensor([[0], [1]]))).shape
        torch.Size([1, 2, 3])
        """
        return Signal(*read_pyg(data, globals))

    def restrict(self, nodes: Any) -> "tuple[Signal, Relation]":
        """This signal on some of its nodes, and the relation from all nodes to those that stay.

        The domain is the induced sub-graph: a `Graph` of the links between the nodes that stay,
        with their weights, types and state (a `Complete` stays complete, a `Batch` a union of as
        many members); globals stay. Pooling by scores (Gao and Ji, "Graph U-Nets", 2019) goes down
        by it, and up again by `relation.reverse()`.

        Args:
            nodes: numbers `[K]`, each at most once, in the order in which they are to stand (on a
                Batch within their members), or a mask `[N]` of booleans. Their number depends on
                data, outside of what is compiled whole.

        Raises:
            GeodlError: if there are no numbers, if one is not that of a node or comes twice, if a
                member keeps no node, or if the values are sparse.

        >>> s = Signal(torch.arange(4.0).view(1, 4, 1), Chain(4))
        >>> kept, relation = s.restrict([3, 2, 0])
        >>> kept.x.flatten().tolist(), kept.domain, relation
        ([3.0, 2.0, 0.0], Graph(3 nodes, 1 edges), relation(4 senders, 3 receivers, 3 edges))
        """
        asked = f"restrict of a signal on {self.domain}"
        if self.x.layout != torch.strided:
            raise GeodlError(asked, "sparse values", "use dense ones: x.to_dense()[None]")
        kept = check_nodes(asked, nodes, self.domain, self.device)
        domain, links = induced(asked, self.domain, kept)
        edges = self.edges
        if edges is not None:
            edges = edges[:, links]
        signal = Signal(self.x[:, kept], domain.to(self.device), edges, self.globals)
        index = torch.stack((kept, torch.arange(len(kept), device=kept.device)))
        return signal, Relation(index, self.domain.num_nodes, len(kept))

    def to_image(self) -> Tensor:
        """`[B, C, *axes]` as a view; a fiber becomes channels, `[B, |G| C, *axes]`, channel c of
        element h at h * C + c.

        Raises:
            GeodlError: if the domain has no lattice, or the values are sparse.
        """
        lattice, fiber = self.domain.lattice, self.domain.fiber
        asked, do = "an image of a signal", "use a dense signal on a Grid"
        if lattice is None:
            raise GeodlError(f"{asked} on {self.domain}", "a domain without a lattice", do)
        if self.x.layout != torch.strided:
            raise GeodlError(f"{asked} on {self.domain}", "sparse values", do)
        # The group element is the last, fastest index of a node: it stands next to the channels.
        sheets = 1 if fiber is None else fiber.order
        planes = self.x.reshape(self.x.shape[0], *lattice, sheets * self.x.shape[2])
        return planes.movedim(-1, 1)

    def to_sequence(self, fill: float = 0.0, *, length: int | None = None) -> Tensor:
        """`[B, T, C]`, the values as they are, for a domain with an order.

        D members of a Batch give `[B D, T, C]`, padded behind: the inverse of :meth:`sequence` when
        `length` is the length of the padded rows that it was given.

        Args:
            fill: the value of the padding.
            length: T; by default that of the longest row, as in torch's `pad_packed_sequence`,
                where this argument is called `total_length`.

        Raises:
            GeodlError: if the domain has no order, the values are sparse, a row is longer than
                `length`, or the dtype does not hold the fill value.

        >>> mask = torch.arange(5) < torch.tensor([[4], [2]])
        >>> s = Signal.sequence(torch.zeros(2, 5, 8), mask)
        >>> s.to_sequence().shape, s.to_sequence(length=5).shape
        (torch.Size([2, 4, 8]), torch.Size([2, 5, 8]))
        """
        return padded_rows(self.x, self.domain, fill, length)

    def to(
        self,
        device: torch.device | str | torch.dtype | None = None,
        dtype: torch.dtype | None = None,
        *,
        non_blocking: bool = False,
    ) -> "Signal":
        """This signal, values and domain, on a device; its values in a dtype, edges and globals
        too; itself when nothing changes.

        Args:
            device: where to; a dtype may stand here alone, as in `Tensor.to`.
            dtype: of `x`, edges and globals; the domain keeps its own. Complex values stay complex,
                of the precision that it names.
            non_blocking: copy from pinned memory while the program goes on.

        Raises:
            GeodlError: if torch does not know the device or the dtype.

        >>> Signal(torch.zeros(1, 3, 2), Chain(3)).to(torch.float64).dtype
        torch.float64
        """
        if dtype is None and device == self.x.device:
            return self
        if isinstance(device, torch.dtype):
            device, dtype = None, device
        if device is not None:
            device = read_device("a signal moved", device)
        check_dtype("a signal converted", dtype)
        wanted = dtype
        if dtype is not None and self.x.is_complex():
            wanted = dtype.to_complex()  # a cast to real numbers would drop the imaginary parts
        x = self.x.to(device=device, dtype=wanted, non_blocking=non_blocking)
        # Tokens become integers beside a state that stays what it is.
        if dtype is not None and not dtype.is_floating_point:
            dtype = None
        edges, state = self.edges, self.globals
        if edges is not None:
            edges = edges.to(device=device, dtype=dtype, non_blocking=non_blocking)
        if state is not None:
            state = state.to(device=device, dtype=dtype, non_blocking=non_blocking)
        # Edge weights keep their dtype: a graph may serve signals of several.
        domain = self.domain.to(x.device, non_blocking=non_blocking)
        same_state = edges is self.edges and state is self.globals
        if x is self.x and domain is self.domain and same_state:
            return self
        return Signal(x, domain, edges, state)

    def pin_memory(self) -> "Signal":
        """This signal, values in pinned memory, as a DataLoader asks; domain and plans stay."""
        edges, state = self.edges, self.globals
        if edges is not None:
            edges = edges.pin_memory()
        if state is not None:
            state = state.pin_memory()
        return Signal(self.x.pin_memory(), self.domain, edges, state)

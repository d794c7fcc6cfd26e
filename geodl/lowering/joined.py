"""A network that reads all that an edge sees, side by side, as a message.

Written as it is meant, the network reads a tensor of all edges and of the channels of x_i, x_j and
e_ij together, the largest that a layer of messages makes, and its gradient is as large. Where the
network begins with a linear layer, that tensor is not needed: with the columns of W cut as the
channels are,

    W [x_i, x_j, e_ij, u] + b = (W_1 x_i + W_4 u + b) + W_2 x_j + W_3 e_ij = a_i + b_j + W_3 e_ij,

and a and b are computed at the nodes, once each, and not once for each of their edges.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.errors import GeodlError
from geodl.lowering.differentiable import transforms_active
from geodl.lowering.product import linear
from geodl.signal.check import mixes_dtypes

# To gather a channel for an edge takes as long as about four products with it, so that few channels
# of nodes, which become many, are better joined. Measured on a CPU from 2 channels to 64 at each
# end and 16 to 128 after the first layer: as many at both ends together as half of those after it.
WIDENS_AT_MOST = 2


class Joined:
    """A network as a function of several tensors, which it reads side by side.

    Args:
        net: takes `[..., C]`, C the channels of all that is given.
        names: what the tensors are called, in their order.
        reads: the channels that the network reads, and the class of the module that says so; None
            where it reads any.
        modules: those that the network runs one after another; empty where it has to be called
            itself.
        asked: who calls it, for the error.
    """

    def __init__(
        self,
        net: nn.Module,
        names: Sequence[str],
        reads: tuple[int, str] | None,
        modules: Sequence[nn.Module],
        asked: Any,
    ):
        self.net, self.names, self.reads = net, names, reads
        self.modules, self.asked = modules, asked

    def __call__(self, *values: Tensor | None) -> Tensor:
        return self.net(self.join(values))

    def join(self, values: Sequence[Tensor | None]) -> Tensor:
        """What the network reads, in one tensor.

        Raises:
            GeodlError: other channels than the network reads.
        """
        self._check_widths(values)
        return torch.cat([value for value in values if value is not None], -1)

    def split(
        self, receiver: Tensor, sender: Tensor, edge: Tensor | None, u: Tensor | None
    ) -> "tuple[Split, SplitValues] | None":
        """The network, and what it reads, once the nodes have had their share of its first layer;
        None where that layer is not linear, or where it does not pay.

        Args:
            receiver: `[B, M, C]`.
            sender: `[B, N, C']`.
            edge: `[B, E, C_e]`, or None.
            u: `[B, M, C_g]`, or None.

        Raises:
            GeodlError: other channels than the network reads.
        """
        if not self.modules:
            return None
        first: Any = self.modules[0]
        channels = receiver.shape[-1] + sender.shape[-1]
        if type(first) is not nn.Linear or first.out_features > WIDENS_AT_MOST * channels:
            return None
        values = (receiver, sender, edge, u)
        self._check_widths(values)
        widths = [value.shape[-1] for value in values if value is not None]
        columns = list(first.weight.split(widths, 1))
        # The bias once, and at the receivers, who are fewer than the edges.
        at_receivers = linear(receiver, columns[0], first.bias)
        if u is not None:
            at_receivers = at_receivers + F.linear(u, columns[-1])
        at_senders = linear(sender, columns[1])
        of_edges = None
        if edge is not None:
            of_edges = columns[2]
        return Split(of_edges, self.modules[1:]), (at_receivers, at_senders, edge, None)

    def _check_widths(self, values: Sequence[Tensor | None]) -> None:
        if self.reads is None:
            return
        given = {}
        for name, value in zip(self.names, values, strict=False):
            if value is not None:
                given[name] = value.shape[-1]
        width, total = self.reads[0], sum(given.values())
        if total == width:
            return
        widths = " + ".join(f"{name} {channels}" for name, channels in given.items())
        raise GeodlError(
            f"{getattr(self.asked, 'label', type(self.asked).__name__)} called",
            f"{widths} = {total} channels, and {self.reads[1]} expects {width}",
            f"build the network for {total} channels, or give a signal with what it lacks",
        )


SplitValues = tuple[Tensor, Tensor, Tensor | None, None]


class Split(NamedTuple):
    """What is left of a network for the edges, a function of `(a_i, b_j, e_ij)`.

    Attributes:
        of_edges: W_3, the columns of the first layer that read e_ij; None where nothing does.
        rest: the modules after the first layer.
    """

    of_edges: Tensor | None
    rest: Sequence[nn.Module]

    def __call__(self, a_i: Tensor, b_j: Tensor, e_ij: Tensor | None) -> Tensor:
        return self.finish(a_i.add_(b_j), e_ij)

    def finish(self, h: Tensor, e_ij: Tensor | None) -> Tensor:
        """The messages `[B, E, C_out]`.

        Args:
            h: `a_i + b_j`, `[B, E, H]`, which nobody else reads: it is written over.
            e_ij: `[B, E, C_e]`, or None.
        """
        if self.of_edges is not None and e_ij is not None:
            h = _add_product(h, e_ij, self.of_edges)
        # Of one name, so that what a module has read is freed before the next one runs.
        for module in self.rest:
            h = module(h)
        return h


def _add_product(h: Tensor, e_ij: Tensor, weight: Tensor) -> Tensor:
    """`h + W e_ij`, into h where nothing forbids it."""
    # Under vmap h may be one tensor for many e_ij.
    if transforms_active():
        return h + F.linear(e_ij, weight)
    # Autocast converts what out-of-place products read, and no others.
    if mixes_dtypes(h.device):
        return h.add_(F.linear(e_ij, weight))
    # The product is added on the way: no second tensor of all edges is written and read (0.6 of the
    # time, measured).
    return h.baddbmm_(e_ij, weight.t().expand(h.shape[0], -1, -1))

"""The same numbers on other nodes: what `flatten` and `transpose` of torch do to a signal."""

from typing import Any

from geodl.domain import Complete
from geodl.errors import GeodlError
from geodl.interop.whole.layout import Layout
from geodl.layer import Layer
from geodl.layer.check import check_signal
from geodl.signal import Signal


class Rearrange(Layer):
    """Read a signal as a tensor in one layout, and the tensor as a signal in another one.

    Nodes become channels, channels nodes, or a lattice another one with as many nodes. It tells
    nodes apart, so no symmetry is proved across it. With a second signal it reads that one, and the
    answer lives on the nodes of the first.

    Args:
        read: how the tensor is read from the signal.
        made: how the answer is read from the tensor, one atom an axis.

    >>> import torch
    >>> from geodl.domain import Grid
    >>> from geodl.interop.whole.layout import last, planes
    >>> swap = Rearrange(planes(3, 2), last(5, 2))
    >>> swap(Signal(torch.zeros(2, 20, 3), Grid(4, 5))).domain
    Grid(3, 4)
    """

    breaks_symmetry = True
    transparent = True

    def __init__(self, read: Layout, made: Layout):
        super().__init__()
        self.read = read
        self.made = made

    @property
    def flattened_channels(self) -> int:
        """C, where it puts all nodes of a lattice side by side as channels of one node; else 0."""
        if self.read.num_axes > 0 and self.made.num_axes == 0 and self.made.batched:
            return self.read.num_channels
        return 0

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The signal on its new nodes."""
        if sender is None:
            return self.made.to_signal(self.read.to_tensor(check_signal(self, receiver)))
        return self.made.to_signal(self.read.to_tensor(check_signal(self, sender)), receiver)

    def extra_repr(self) -> str:
        return f"{self.read} -> {self.made}"


class Select(Layer):
    """One node of a sequence: `x[:, index]` of torch. It tells nodes apart.

    Args:
        index: of the node; negative ones count from the end.

    >>> import torch
    >>> from geodl.domain import Chain
    >>> Select(-1)(Signal(torch.zeros(2, 5, 3), Chain(5))).x.shape
    torch.Size([2, 1, 3])
    """

    breaks_symmetry = True
    transparent = True

    def __init__(self, index: int):
        super().__init__()
        self.index = index

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The node's values, on one node."""
        signal = check_signal(self, receiver)
        count = signal.domain.num_nodes
        if signal.domain.is_union or not -count <= self.index < count:
            do = "give one sequence that has the node"
            raise GeodlError(f"{self.label} called", f"{count} nodes, {signal.domain}", do)
        return Signal(signal.x[:, self.index % count][:, None], Complete(1))

    def extra_repr(self) -> str:
        return f"{self.index}"

"""Where nodes stand: positions that are added to a signal, and the rotation that attention
applies.
"""

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from geodl.domain import Domain, coordinates
from geodl.errors import GeodlError, positive
from geodl.layer.base import Layer
from geodl.layer.check import check_no_sender, check_signal
from geodl.layer.trace import traced_step
from geodl.neighborhood import Everyone, Neighborhood
from geodl.signal import Signal


def places_of_receivers(rule: Neighborhood, source: Domain, target: Domain) -> Tensor:
    """The places of receivers among those of the senders: where the rule aligns the ends of two
    chains, as the past does, M receivers stand at the last of N places, from N - M on.

    Args:
        rule: of the call.
        source: the senders' domain.
        target: the receivers' domain.

    >>> from geodl.domain import Chain
    >>> from geodl.neighborhood import past
    >>> places_of_receivers(past(), Chain(5), Chain(2))
    tensor([3, 4])
    """
    own = places(target)
    if source.sizes == target.sizes or not aligns_ends(rule, source, target):
        return own
    sizes = torch.tensor(target.sizes, device="cpu")
    before = torch.tensor(source.sizes, device="cpu") - sizes
    return own + before.repeat_interleave(sizes)


def aligns_ends(rule: Neighborhood, source: Domain, target: Domain) -> bool:
    """Whether receivers are the last of the senders, by a record of the rule."""
    records = rule.resolve(source, target).structures(source, target)
    return any(isinstance(record, Everyone) and record.causal for record in records)


def places(domain: Domain) -> Tensor:
    """The place of each node: `[N]` along an order, `[N, axes]` on another lattice; each member of
    a Batch begins at 0.

    >>> from geodl.domain import Batch, Chain, Grid
    >>> places(Batch([Chain(2), Chain(3)])).tolist()
    [0, 1, 0, 1, 2]
    >>> places(Grid(2, 2)).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    if domain.is_union:
        parts = [places(member) for member in domain.members or ()]
        if len({part.shape[1:] for part in parts}) > 1:
            raise GeodlError(
                f"places on {domain}", "members with different axes", "use members of one kind"
            )
        return torch.cat(parts)
    if domain.ordered:
        # Whatever the default device: on meta there would be no numbers to take elsewhere.
        return torch.arange(domain.num_nodes, device="cpu")
    if domain.lattice is None:
        raise GeodlError(
            f"places on {domain}",
            "nodes without places",
            "use a Chain or a Grid, or LaplacianPositions on a graph",
        )
    points = coordinates(domain.lattice, "cpu")
    if domain.fiber is None:
        return points
    # The elements of a group stand over one point of the lattice.
    return points.repeat_interleave(domain.fiber.order, 0)


def sinusoidal(places: Tensor, channels: int, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """`PE(p, 2i) = sin(p r_i)`, `PE(p, 2i + 1) = cos(p r_i)` with `r_i = 10000^(-2i/C)`: `[N, C]`.

    Several axes share the channels evenly, the first axis first. (Vaswani et al., "Attention Is All
    You Need", 2017.)

    Args:
        places: `[N]` or `[N, axes]`.
        channels: C, a multiple of 2 axes.
        dtype: of the answer, and of the angles.

    >>> sinusoidal(torch.tensor([0, 1]), 2)
    tensor([[0.0000, 1.0000],
            [0.8415, 0.5403]])
    """
    angles = _angles(places, channels, dtype)
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(1)


def rotate(x: Tensor, places: Tensor) -> Tensor:
    """Rotary positions: channels (2i, 2i + 1) of each head turned by the angle `place *
    10000^(-2i/D)`.

    Scores `rotate(q, p) . rotate(k, p')` then depend on `p - p'` only (Su et al., "RoFormer",
    2021). Angles are in float32 at least, the answer has the dtype of x.

    Args:
        x: queries or keys `[B, N, H, D]`; D is a multiple of 2 axes.
        places: `[N]` or `[N, axes]`, of :func:`places`.

    >>> rotate(torch.tensor([1.0, 0.0]).view(1, 1, 1, 2), torch.tensor([1])).flatten()
    tensor([0.5403, 0.8415])
    """
    if x.dim() != 4 or x.shape[1] != len(places):
        found = f"values of shape {list(x.shape)} for {len(places)} places"
        raise GeodlError("rotary positions", found, f"give [B, {len(places)}, H, D]")
    # In half precision a place above 2,048 would not be told from its neighbor.
    dtype = torch.promote_types(x.dtype, torch.float32)
    angles = _angles(places.to(x.device), x.shape[3], dtype)[:, None]
    cos, sin = angles.cos(), angles.sin()
    # Channels (2i, 2i + 1) are one complex number, multiplied by exp(i angle).
    even, odd = x[..., ::2], x[..., 1::2]
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1)
    return turned.flatten(3).to(x.dtype)


class Positions(Layer):
    """`y_i = x_i + p(place of i)` on lattices; the state of :meth:`step` is the number of nodes
    seen.
    """

    breaks_symmetry = True
    transparent = True
    channels_in: int

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The signal with the positions of its nodes added."""
        check_no_sender(self, sender)
        return self._added(check_signal(self, receiver), 0)

    @traced_step
    def step(
        self, signal: Signal, state: int | None = None, sender: Signal | None = None
    ) -> tuple[Signal, int]:
        """Continue on the next nodes of a chain (or of each of a Batch's equal chains); the state
        is how many came before.
        """
        check_no_sender(self, sender)
        domain = check_signal(self, signal).domain
        sizes = set(domain.sizes)
        if not domain.ordered or len(sizes) > 1:
            found = "members of different lengths" if domain.ordered else "no order to go on in"
            asked = f"a step of {self.label} on {domain}"
            raise GeodlError(asked, found, "step along a Chain, or a Batch of equal ones")
        seen = 0 if state is None else state
        if type(seen) is not int or seen < 0:
            do = "give the number of nodes seen, or None"
            raise GeodlError(f"a step of {self.label}", f"the state {state!r}", do)
        return self._added(signal, seen), seen + sizes.pop()

    def _added(self, signal: Signal, seen: int) -> Signal:
        """The signal with the positions added that its nodes have after `seen` others."""
        positions = self._at(signal.domain, seen, signal.x)
        return signal.with_x(signal.x + positions.to(signal.x.dtype))

    @abstractmethod
    def _at(self, domain: Domain, seen: int, x: Tensor) -> Tensor:
        """The positions `[N, C]` of nodes that come after `seen` others, for values x."""


class SinusoidalPositions(Positions):
    """Adds sinusoidal positions (`geodl.layer.position.sinusoidal`), without parameters and for any
    length.

    Args:
        channels: C, even; on a lattice of several axes a multiple of 2 axes.

    >>> SinusoidalPositions(4)(Signal.sequence(torch.zeros(1, 2, 4))).x[0, 0]
    tensor([0., 1., 0., 1.])
    """

    def __init__(self, channels: int):
        super().__init__()
        channels = positive(f"SinusoidalPositions({channels!r})", channels)
        check_pairs(channels, 1)
        self.channels_in = channels

    def _at(self, domain: Domain, seen: int, x: Tensor) -> Tensor:
        dtype = torch.promote_types(x.dtype, torch.float32)
        return sinusoidal(places(domain).to(x.device) + seen, self.channels_in, dtype=dtype)

    def extra_repr(self) -> str:
        return f"{self.channels_in}"


class LearnedPositions(Positions):
    """Adds a learned vector for each place; on a grid for each node, numbered row by row.

    Args:
        length: the largest number of nodes (of a member of a Batch), or the lengths of the axes of
            a lattice, and no other.
        channels: C.

    The parameter `weight` `[length, C]` is drawn from a normal distribution of deviation 0.02
    (Radford et al., "Improving Language Understanding by Generative Pre-Training", 2018).

    Raises:
        GeodlError: if there are more nodes than the table has rows, or the lattice is another one.

    >>> LearnedPositions(8, 4)(Signal.sequence(torch.zeros(1, 5, 4))).x.shape
    torch.Size([1, 5, 4])
    """

    def __init__(self, length: int | tuple[int, ...], channels: int):
        super().__init__()
        asked = f"LearnedPositions({length!r}, {channels!r})"
        axes = length if isinstance(length, tuple) else (length,)
        lengths = tuple(positive(asked, axis) for axis in axes)
        channels = positive(asked, channels)
        self.length, self.channels_in = math.prod(lengths), channels
        self.lattice = lengths if isinstance(length, tuple) else None
        self.weight = nn.Parameter(torch.empty(self.length, channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the vectors: normal, of deviation 0.02."""
        nn.init.normal_(self.weight, std=0.02)

    def _at(self, domain: Domain, seen: int, x: Tensor) -> Tensor:
        members = domain.members or (domain,)
        ends = [seen + len(places(member)) for member in members]
        longest = max(ends)
        if longest > self.length:
            do = f"build it with length={longest} or more, cut it, or use SinusoidalPositions"
            found = f"node {longest} of a table of {self.length}"
            raise GeodlError(f"{self.label} on {domain}", found, do)
        # The same number of nodes on another lattice would stand on other rows of the table.
        if self.lattice is not None and any(member.lattice != self.lattice for member in members):
            do = f"give one of {self.lattice}, or build it anew"
            raise GeodlError(f"{self.label} on {domain}", "another lattice", do)
        # Each member begins at the table's first row.
        return torch.cat([self.weight[seen:end] for end in ends])

    def extra_repr(self) -> str:
        return f"{self.lattice or self.length}, {self.channels_in}"


def check_pairs(channels: int, axes: int) -> None:
    """Refuse channels that are no pairs of a sine and a cosine on each axis."""
    if channels % (2 * axes):
        raise GeodlError(
            f"{channels} channels for sines and cosines on {axes} axes",
            do=f"give a multiple of {2 * axes}",
        )


def _angles(places: Tensor, channels: int, dtype: torch.dtype) -> Tensor:
    """`place * 10000^(-2i/C)` for each pair of channels: `[N, C / 2]`; C is what one axis has of
    them.
    """
    points = places.to(dtype)[..., None]
    if places.dim() == 1:
        points = points[:, None]
    axes = points.shape[1]
    check_pairs(channels, axes)
    # Wave lengths run geometrically from 2 pi to 10,000 times 2 pi over the channels of an axis.
    even = torch.arange(0, channels // axes, 2, device=places.device, dtype=dtype)
    rates = 10000 ** (-even * axes / channels)
    return (points * rates).flatten(1)

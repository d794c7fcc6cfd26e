"""Members chosen from a flat union: where each of their nodes and links stands in it.

New members are chosen at every step of a training on small graphs, and what is made of them is
often less than all: a layer of products reads nothing of their links where the pattern of the whole
union is known. So the nodes are placed at once, and links and graph when they are asked for.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from geodl.domain.runs import Runs, running_sum


class Chosen(NamedTuple):
    """Some members of a flat union, in the order of the choice.

    The numbers stand in numpy's arrays, as those of :class:`Runs`.

    Attributes:
        of: the union they are chosen from.
        numbers: `[D']` their numbers in it.
        nodes: `[N']` the number that each of their nodes has in it.
        starts: `[D' + 1]` where the nodes of each begin in the union of the chosen.
        consecutive: whether they stand one behind the other in the union chosen from.
        runs: the nodes, and the links, of each of its members.
        order: `[L]` the order in which its links stand member after member; None where they do.
    """

    of: Any
    numbers: Any
    nodes: Any
    starts: Any
    consecutive: bool
    runs: tuple[Runs, Runs]
    order: Tensor | None

    @property
    def counts(self) -> Any:
        """`[D']` the nodes of each."""
        return self.runs[0].length[self.numbers]

    @property
    def link_counts(self) -> Any:
        """`[D']` the links of each."""
        return self.runs[1].length[self.numbers]

    @property
    def num_links(self) -> int:
        """The links of all of them."""
        return int(self.link_counts.sum())

    def place_links(self) -> Tensor:
        """`[L']` the number that each link has in the union chosen from, where that is."""
        places, _ = self.runs[1].select(self.numbers)
        links = torch.from_numpy(places)
        if self.order is not None:
            links = self.order[links]
        return links.to(self.of.device)

    def make_graph(self) -> Any:
        """The links of the chosen members as one Graph, member after member."""
        links = self.place_links()
        moved = self.starts[:-1] - self.runs[0].first[self.numbers]
        shift = torch.from_numpy(moved.repeat(self.link_counts)).to(links.device)
        return self.of.union.part(links, int(self.starts[-1]), shift)


def choose(of: Any, numbers: Any, nodes: Runs, links: Runs, order: Tensor | None) -> Chosen:
    """The choice of some members.

    Args:
        of: the union.
        numbers: `[D']` of the members, numpy's.
        nodes: of each member of the union.
        links: alike, once they stand member after member.
        order: the order in which they do; None for their own.
    """
    places, counts = nodes.select(numbers)
    return Chosen(of, numbers, places, running_sum(counts), False, (nodes, links), order)


def choose_run(
    of: Any, first: int, end: int, nodes: Runs, links: Runs, order: Tensor | None
) -> Chosen:
    """The choice of the members `first` to `end - 1`; the other arguments as in :func:`choose`."""
    starts = np.empty(end - first + 1, dtype=np.int64)
    starts[:-1] = nodes.first[first:end]
    starts[-1] = starts[-2] + nodes.length[end - 1]
    numbers, places = np.arange(first, end), np.arange(starts[0], starts[-1])
    return Chosen(of, numbers, places, starts - starts[0], True, (nodes, links), order)

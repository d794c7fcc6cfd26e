"""The entries of a rule where the weights of the links come with each call."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from geodl.neighborhood.edges import Edges


class Carried(NamedTuple):
    """A rule written out without weights, and what turns weights of links into its entries: made
    once, by `rule.carry`, and read at every call by `rule.entries`.

    Attributes:
        rule: whose `entries(carried, weight)` takes weights `[..., L]` to entries `[..., E]`, by
            operations that can be differentiated.
        edges: the edges, without weights.
        num_nodes: N.
        parts: tensors that the rule found once.
    """

    rule: Any
    edges: Edges
    num_nodes: int
    parts: tuple[Any, ...] = ()


class WeightsAreEntries:
    """Of a rule whose edges have one weight each, in their own order."""

    def entries(self, carried: Carried, weight: Tensor) -> Tensor:
        """The weights themselves."""
        return weight


class EntriesOfForward:
    """Of a rule that runs another one the other way, edge by edge: `parts` holds the other's."""

    def entries(self, carried: Carried, weight: Tensor) -> Tensor:
        """The entries of the rule that runs forward."""
        (forward,) = carried.parts
        return forward.rule.entries(forward, weight)


WEIGHTS_ARE_ENTRIES = WeightsAreEntries()
ENTRIES_OF_FORWARD = EntriesOfForward()


def weight_of_edges(weight: Tensor, link: Tensor) -> Tensor:
    """The weight of the link behind each edge, 1 where the rule added the edge: `[..., L]` to
    `[..., E]`.
    """
    # Number -1 is the last one, behind all links: a 1.
    known = torch.cat((weight, weight.new_ones(*weight.shape[:-1], 1)), dim=-1)
    return known.index_select(-1, link.remainder(known.shape[-1]))

"""Which layers can go on along a chain, piece by piece: asked of the rule, not of a piece."""

from typing import Any

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.neighborhood import Everyone, Neighborhood

TO_COME = "a rule that receives from nodes to come"


def lookback(rule: Neighborhood, piece: Domain) -> float | None:
    """How many nodes before its own a node receives from, on chains of any length; None if also
    from later ones, or where the answer does not stay on the chain.

    Args:
        rule: which nodes each node receives from.
        piece: a chain, of which the length does not count.
    """
    # On one node every window, block and readout looks as if each node were alone.
    whole = piece.replace((max(2, piece.num_nodes),))
    known = rule.lookback(whole)
    if known is None or not rule.stays_on(whole):
        return None
    return known


def check_goes_on(layer: Any, domain: Domain) -> float:
    """How far a layer looks back, once it is known that it can continue on a domain.

    Raises:
        GeodlError: nodes in no one order; a rule that receives from nodes to come.
    """
    known = None
    if domain.lattice is not None and domain.ordered:
        known = lookback(layer.rule, domain)
    if known is None:
        found = TO_COME
        if domain.lattice is None:
            found = "no one order to go on in"
        asked = f"a step of {layer.label} on {domain}"
        raise GeodlError(asked, found, "use a causal rule on a Chain")
    return known


def check_crosses(layer: Any, everyone: Everyone | None) -> None:
    """Refuse steps over a second signal by a rule that asks where a node stands.

    Args:
        layer: the layer.
        everyone: the record that every receiver receives from every sender, where its rule has it.
    """
    if everyone is None or everyone.causal:
        found = f"{layer.rule}, which asks where a node stands"
        do = "cross with all_pairs()"
        raise GeodlError(f"a step of {layer.label} over a second signal", found, do)


def check_runs_forward(layer: Any, domain: Domain) -> None:
    """Refuse a recurrence along chains that begins at the last node; on other domains it has no
    pieces.
    """
    if not domain.ordered:
        return
    # Chains of a Batch each run alone, so that one of them tells; one node has no edges to tell by.
    chain = domain.kinds[0].replace((2,))
    if layer.rule.lookback(chain) is not None:
        return
    edges = layer.rule.edges(chain)
    if bool((edges.src >= edges.dst).any()):
        do = "use layers that receive only from nodes before, or call it on the whole chain"
        raise GeodlError(f"a step of {layer.label}", TO_COME, do)


def states_of(layer: Any, state: Any, count: int) -> tuple[Any, ...]:
    """The state of each of `count` layers, None for each at the beginning.

    Raises:
        GeodlError: a state of another number of layers.
    """
    if state is None:
        return (None,) * count
    if isinstance(state, tuple) and len(state) == count:
        return state
    found = f"a {type(state).__name__}"
    if isinstance(state, tuple):
        found = f"{len(state)} states of {count} layers"
    raise GeodlError(f"a step of {type(layer).__name__}", found, "give what step returned")

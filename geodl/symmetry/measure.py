"""How far a module is from a symmetry, on numbers."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from geodl.domain import Domain, rotate_nodes
from geodl.errors import GeodlError
from geodl.group import Group, cached_constants
from geodl.layer import MessagePassing
from geodl.neighborhood import Symmetry
from geodl.signal import Signal
from geodl.symmetry.model import check_group, own_group
from geodl.symmetry.proof import keeps, turns


def equivariance_error(
    module: nn.Module, signal: Signal, group: Group | None = None
) -> dict[str, float]:
    """How far `module(g s)` is from `g module(s)`: `max|a - b| / max(1, max|b|)` for each claim
    that can be seen on s; empty where there is none.

    Args:
        module: takes a Signal and returns one.
        signal: the input.
        group: a point group; None takes a layer's own claims, a model's own group (of several that
            its rules name the one that lies in all others), or else the generators of the domain's
            symmetry.

    Returns:
        The error of each claim by its name, which names the group: `{"C4 element 1": 1e-16}`.

    Raises:
        GeodlError: if the input is not a Signal or `group` not a Group; if the group carries the
            domain to another one; if the output is on another domain and no group is given; if the
            signal has a state of edges.

    >>> from geodl import C, Conv, Grid, lift
    >>> s = Signal(torch.randn(1, 25, 2, dtype=torch.float64), Grid(5, 5))
    >>> max(equivariance_error(Conv(2, 3, lift(3, group=C(4))).double(), s, C(4)).values()) < 1e-12
    True
    """
    asked = f"the equivariance of {type(module).__name__}"
    if not isinstance(signal, Signal):
        raise GeodlError(asked, f"a {type(signal).__name__}", "give a Signal")
    check_group(asked, group)
    if signal.edges is not None:
        do = "use g.testing.assert_permutation_equivariant, or signal.with_edges(None)"
        raise GeodlError(asked, "a state of edges, which is not carried along", do)
    errors = {}
    with torch.no_grad():
        straight = _answer(module, signal)
        for claim in _claims(module, signal.domain, straight.domain, group):
            receivers = _settled(module, signal.domain, claim)
            moved = _answer(module, signal.with_x(move(signal.x, claim.senders)))
            a, b = moved.x[:, claim.receivers[receivers]], straight.x[:, receivers]
            if b.numel():
                errors[claim.name] = _apart(a, b)
    return errors


def move(x: Tensor, permutation: Tensor) -> Tensor:
    """Values `[B, N, C]` carried along: node i's value goes to `permutation[i]`, nowhere for -1;
    zeros where none came.
    """
    stays = permutation >= 0
    moved = torch.zeros_like(x)
    moved[:, permutation[stays]] = x[:, stays]
    return moved


def _apart(a: Tensor, b: Tensor) -> float:
    apart = float((a - b).abs().max())
    if not math.isfinite(apart):
        return math.inf
    return apart / max(1.0, float(b.abs().max()))


def _answer(module: Any, signal: Signal) -> Signal:
    """A module's answer as a Signal, of a layer built with `on=` too."""
    if getattr(module, "on", None) is None:
        return module(signal)
    return Signal(module(signal.x), module.rule.target(module.on))


@cached_constants()
def _claims(
    module: nn.Module, source: Domain, target: Domain, group: Group | None
) -> list[Symmetry]:
    if group is None and isinstance(module, MessagePassing):
        return module.rule.symmetries(source, module.options.edge_types is not None)
    asked = f"the equivariance of {type(module).__name__}"
    if group is None:
        own = own_group(asked, module)
        if own is not None and own.axes == len(source.lattice or ()):
            group = own
    if group is not None:
        rotate_nodes(source, group, 0)  # refuses a domain on which the group does not act
        for k in group.generators:
            if not keeps(source, group, k):
                raise GeodlError(
                    f"{asked} on {source} under {group}",
                    f"element {k}, which carries the domain to another one",
                    "measure on equal axes, or under a group that keeps the domain",
                )
        return turns(source, target, group, list(group.generators))
    if target != source and target.num_nodes != 1:
        raise GeodlError(f"{asked} from {source} to {target}", "two domains", "name the group")
    still = torch.arange(target.num_nodes)
    claims = []
    for k, moved in enumerate(source.generators()):
        receivers = moved if target == source else still
        claims.append(Symmetry(f"generator {k + 1}", moved, receivers))
    return claims


@cached_constants()
def _settled(module: nn.Module, domain: Domain, claim: Symmetry) -> Tensor:
    """Receivers whose whole neighborhood stays inside the lattice under the shift; only there can a
    shift under zero padding hold.
    """
    if not claim.leaves or not isinstance(module, MessagePassing):
        return (claim.receivers >= 0).nonzero()[:, 0]
    edges = module.rule.edges(domain)
    fine = claim.receivers >= 0
    fine[edges.dst[claim.senders[edges.src] < 0]] = False
    # A sender that came in from outside disturbs its receivers, too.
    came = torch.ones(domain.num_nodes, dtype=torch.bool)
    came[claim.senders[claim.senders >= 0]] = False
    disturbed = torch.zeros(len(claim.receivers), dtype=torch.bool)
    disturbed[edges.dst[came[edges.src]]] = True
    return (fine & ~disturbed[claim.receivers.clamp(min=0)]).nonzero()[:, 0]

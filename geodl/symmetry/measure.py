"""How far a module is from a symmetry, measured on a signal."""

import math

import torch
from torch import Tensor, nn

from geodl.constants import cached_constants
from geodl.domain import Domain, turn_domain
from geodl.errors import GeodlError
from geodl.group import Group
from geodl.layer import MessagePassing, buffers_kept
from geodl.neighborhood import Symmetry
from geodl.neighborhood.base import turns
from geodl.signal import Signal
from geodl.symmetry.interpolation import apart, interpolated_errors
from geodl.symmetry.model import check_group, own_group
from geodl.symmetry.turning import move

REPEATED = 1e-3  # how far two answers to one signal may be apart, by rounding


def equivariance_error(
    module: nn.Module, signal: Signal, group: Group | None = None
) -> dict[str, float]:
    """How far `module(g s)` is from `g module(s)`: `max|a - b| / max(1, max|b|)` for each claim
    that can be seen on s; empty where there is none.

    The module stays in its mode: in training a batch norm takes the statistics of the signal, and
    those that it tracks are left as they were.

    Args:
        module: takes a Signal and returns one.
        signal: the input.
        group: a point group; None takes a layer's own claims, a model's own group (of several that
            its rules name the one that lies in all others), or else the generators of the domain's
            symmetry.

    Returns:
        The error of each claim by its name, which names the group: `{"C4 element 1": 1e-16}`. Of
        turns that do not map the lattice to itself the names say "approximate": the signal, faded
        out towards the rim of the inscribed disc, is interpolated, and so is the answer, which is
        compared on the inner half of that disc. Measure them on smooth signals.

    Elements that exchange unequal axes are measured between the two domains: a quarter turn of a
    28 x 32 image is a 32 x 28 one. Where the module answers it on another domain than the turned
    answer's, the error is infinite.

    Raises:
        GeodlError: if the input is not a Signal or `group` not a Group; if the module answers
            otherwise at each call, as dropout does in training; if a layer built with `on=`
            is asked for an element that leads elsewhere; if the output is on another domain and no
            group is given; if the signal has a state of edges.

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
    with torch.no_grad(), buffers_kept(module):
        straight = module(signal)
        if module.training and straight.x.numel():
            again = module(signal).x
            if not torch.allclose(again, straight.x, REPEATED, REPEATED, equal_nan=True):
                found = "another answer at each call"
                raise GeodlError(asked, found, "measure without dropout: model.eval()")
        for claim in _claims(module, signal.domain, straight.domain, group):
            receivers = _settled(module, signal.domain, claim)
            source, target = claim.source or signal.domain, claim.target or straight.domain
            if getattr(module, "on", None) is not None and source != signal.domain:
                found = f"a layer built with on=, and {claim.name}, which leads to {source}"
                raise GeodlError(asked, found, "build it without on=, or measure on equal axes")
            carried = Signal(move(signal.x, claim.senders), source, None, signal.globals)
            moved = module(carried)
            b = straight.x[:, receivers]
            if moved.domain != target:
                errors[claim.name] = math.inf
            elif b.numel():
                errors[claim.name] = apart(moved.x[:, claim.receivers[receivers]], b)
        turned = _point_group(module, signal.domain, group)
        errors |= interpolated_errors(module, signal, turned)
    return errors


def _point_group(module: nn.Module, domain: Domain, group: Group | None) -> Group | None:
    """The group that was named, else a model's own where it acts on the domain."""
    if group is not None:
        return group
    own = own_group(f"the equivariance of {type(module).__name__}", module)
    if own is not None and own.axes == len(domain.lattice or ()):
        return own
    return None


@cached_constants()
def _claims(
    module: nn.Module, source: Domain, target: Domain, group: Group | None
) -> list[Symmetry]:
    if group is None and isinstance(module, MessagePassing):
        return module.rule.symmetries(source, module.options.edge_types is not None)
    asked = f"the equivariance of {type(module).__name__}"
    group = _point_group(module, source, group)
    if group is not None:
        turn_domain(source, group, 0)  # refuses a domain on which the group does not act
        return turns(source, target, group, group.lattice_generators)
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
    """The receivers at which a claim can hold, by number: those that it moves to a node; of a shift
    under zero padding those whose whole neighborhood stays inside the lattice.
    """
    if not claim.leaves or not isinstance(module, MessagePassing):
        return (claim.receivers >= 0).nonzero()[:, 0]
    edges = module.rule.edges(domain)
    inside = claim.receivers >= 0
    inside[edges.dst[claim.senders[edges.src] < 0]] = False
    # A sender to which the shift moves no node changes what its receivers compute, too.
    entered = torch.ones(domain.num_nodes, dtype=torch.bool)
    entered[claim.senders[claim.senders >= 0]] = False
    disturbed = torch.zeros(len(claim.receivers), dtype=torch.bool)
    disturbed[edges.dst[entered[edges.src]]] = True
    return (inside & ~disturbed[claim.receivers.clamp(min=0)]).nonzero()[:, 0]

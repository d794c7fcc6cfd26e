"""Which symmetries a rule, a layer or a model has: proved in integers, and measured on numbers."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from geodl import group as groups
from geodl.domain import Domain, rotate_nodes
from geodl.errors import GeodlError
from geodl.group import Group
from geodl.layer import Embedding, MessagePassing, acts_elsewhere, prepare
from geodl.neighborhood import Edges, Neighborhood, Symmetry
from geodl.signal import Signal

CODE = ("forward", "_propagate", "_run")  # where a layer's numbers are made


class Certificate(NamedTuple):
    """What was proved of a rule, layer or model on a domain, from its edges, in integers.

    Attributes:
        subject: what was certified, and where.
        group: the group asked for or found.
        exact: no violation, and at least one claim proved on all nodes.
        proved: claims that hold on all nodes of every layer.
        interior: claims that hold wherever they are defined (shifts under zero padding).
        violations: what breaks a claim, first layer first.
    """

    subject: str
    group: Group | None
    exact: bool
    proved: tuple[str, ...]
    interior: tuple[str, ...]
    violations: tuple[str, ...]

    def __str__(self) -> str:
        lines = [
            f"{self.subject}: {'exact' if self.exact else 'not exact'}"
            + (f" under {self.group}" if self.group else "")
        ]
        lines += [f"    proved on all nodes: {', '.join(self.proved)}"] if self.proved else []
        lines += [f"    proved where defined: {', '.join(self.interior)}"] if self.interior else []
        lines += [f"    broken: {violation}" for violation in self.violations]
        return "\n".join(lines if len(lines) > 1 else [*lines, "    nothing to check"])


class Part(NamedTuple):
    """One rule inside a model: where it is, whether its edge types carry weights, and between which
    domains it acts.
    """

    path: str
    rule: Neighborhood
    typed: bool
    source: Domain
    target: Domain


def orbits(domain: Domain) -> Tensor:
    """Number the orbits of ordered node pairs under the symmetry that a domain vouches for: `[N,
    N]`, labels 0..n-1.

    >>> from geodl import Complete
    >>> orbits(Complete(3)).tolist()
    [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    """
    return groups.orbits(domain.generators())


def certify(
    subject: Neighborhood | nn.Module, domain: Domain, group: Group | None = None
) -> Certificate:
    """Prove the symmetries of a rule, a layer or a model at the user's own size, edge by edge.

    Args:
        subject: a neighborhood, a layer, or a model composed of layers by `Sequential`, `Residual`
            and `Concat`.
        domain: where its senders live.
        group: a point group that must hold; None takes the subject's own claims (its group, where
            it names one).

    Returns:
        A certificate; `exact` needs at least one claim proved on all nodes: nothing checked is not
        exact.

    >>> from geodl import C, Conv, Grid, lift, window
    >>> certify(Conv(1, 8, lift(3, group=C(4))), Grid(5, 5)).exact
    True
    >>> certify(Conv(1, 8, window(3)), Grid(5, 5), C(4)).exact
    False
    """
    parts, violations = _parts(subject, domain)
    group = group or next((part.rule.group for part in parts if part.rule.group is not None), None)
    if group is not None:
        rotate_nodes(domain, group, 0)  # refuses a domain on which the group does not act
    proved: list[set[str]] = []
    defined: list[set[str]] = []
    order: dict[str, None] = {}
    for part in parts:
        whole, inside, broken = _examine(part, group)
        proved.append(whole)
        defined.append(whole | inside)
        violations += broken
        order |= dict.fromkeys([*whole, *inside])
    everywhere = set.intersection(*proved) if proved else set()
    somewhere = (set.intersection(*defined) if defined else set()) - everywhere
    name = type(subject).__name__ if isinstance(subject, nn.Module) else str(subject)
    return Certificate(
        f"{name} on {domain}",
        group,
        not violations and bool(everywhere),
        tuple(n for n in sorted(order) if n in everywhere),
        tuple(n for n in sorted(order) if n in somewhere),
        tuple(violations),
    )


def equivariance_error(
    module: nn.Module, signal: Signal, group: Group | None = None
) -> dict[str, float]:
    """How far `module(g s)` is from `g module(s)`: `max|a - b| / max(1, max|b|)` for each claim
    that can be seen on s.

    Args:
        module: takes a Signal and returns one.
        signal: the input.
        group: a point group; None takes a layer's own claims, or the generators of the domain's
            symmetry.

    >>> from geodl import C, Conv, Grid, lift
    >>> s = Signal(torch.randn(1, 25, 2, dtype=torch.float64), Grid(5, 5))
    >>> max(equivariance_error(Conv(2, 3, lift(3, group=C(4))).double(), s, C(4)).values()) < 1e-12
    True
    """
    with torch.no_grad():
        straight = _answer(module, signal)
        errors = {}
        for claim in _claims(module, signal.domain, straight.domain, group):
            receivers = _settled(module, signal.domain, claim)
            moved = _answer(module, Signal(move(signal.x, claim.senders), signal.domain))
            a, b = moved.x[:, claim.receivers[receivers]], straight.x[:, receivers]
            if b.numel():
                apart = float((a - b).abs().max())
                errors[claim.name] = (
                    apart / max(1.0, float(b.abs().max())) if math.isfinite(apart) else math.inf
                )
    return errors


def move(x: Tensor, permutation: Tensor) -> Tensor:
    """Values `[B, N, C]` carried along: node i's value goes to `permutation[i]`, nowhere for -1;
    zeros where none came.
    """
    stays = permutation >= 0
    moved = torch.zeros_like(x)
    moved[:, permutation[stays]] = x[:, stays]
    return moved


def _answer(module: Any, signal: Signal) -> Signal:
    """A module's answer as a Signal, of a layer built with `on=` too."""
    if getattr(module, "on", None) is None:
        return module(signal)
    return Signal(module(signal.x), module.rule.target(module.on))


def _parts(subject: Neighborhood | nn.Module, domain: Domain) -> tuple[list[Part], list[str]]:
    if isinstance(subject, Neighborhood):
        typed = not subject.refuses(domain)
        return [Part("", subject, typed, domain, subject.target(domain))], []
    if not isinstance(subject, nn.Module):
        raise GeodlError(
            f"certify({subject!r})",
            f"a {type(subject).__name__}",
            "give a neighborhood, a layer or a model",
        )
    layers = {m: path for path, m in subject.named_modules() if isinstance(m, MessagePassing)}
    if isinstance(subject, MessagePassing):
        return [_part(subject, "", domain, subject.rule.target(domain))], _unproved(subject)
    found: list[Part] = []

    def listen(layer: Any, args: Any, output: Any) -> None:
        source = args[1] if len(args) > 1 and args[1] is not None else args[0]
        target = output.domain if isinstance(output, Signal) else layer.rule.target(layer.on)
        found.append(
            _part(
                layer,
                layers[layer],
                source.domain if isinstance(source, Signal) else layer.on,
                target,
            )
        )

    hooks = [layer.register_forward_hook(listen) for layer in layers]
    try:
        if layers:
            prepare(subject, _blank(subject, domain))
    finally:
        for hook in hooks:
            hook.remove()
    return found, _unproved(subject)


def _blank(model: nn.Module, domain: Domain) -> Any:
    """Zeros that a model takes: a Signal, or a tensor where its layers were built with `on=`."""
    widths = (getattr(m, "channels_in", getattr(m, "in_features", None)) for m in model.modules())
    channels = next((c for c in widths if c is not None), 1)
    first = next((m for m in model.modules() if hasattr(m, "channels_in")), None)
    dtype = torch.long if isinstance(first, Embedding) else None
    x = next(model.parameters(), torch.zeros(0)).new_zeros(
        1, domain.num_nodes, channels, dtype=dtype
    )
    placed = next(
        (m.on for m in model.modules() if isinstance(m, MessagePassing) and m.on is not None), None
    )
    if placed is not None and placed != domain:
        raise GeodlError(
            f"certify({type(model).__name__}, {domain})",
            f"layers built with on={placed}",
            "certify it there",
        )
    return Signal(x, domain) if placed is None else x


def _unproved(model: nn.Module) -> list[str]:
    """Modules whose code is neither torch's, channel by channel, nor a layer's of the library;
    functions and hooks count.
    """
    named = [(path or type(m).__name__, m) for path, m in model.named_modules()]
    placed = [
        f"{path}: {type(m).__name__} tells nodes apart by where they stand"
        for path, m in named
        if getattr(m, "breaks_symmetry", 0)
    ]
    return placed + [
        f"{path}: {type(m).__name__} has code of its own between layers, which edges cannot prove"
        for path, m in named
        if acts_elsewhere(m)
        or _altered(m)
        or not all(_ours(getattr(type(m), part, None)) for part in CODE)
    ]


def _altered(module: nn.Module) -> bool:
    """Whether a module runs functions that it was given: a message, an update, hooks, another
    `forward`.
    """
    held = vars(module).items()
    hooked = any(name.endswith("_hooks") and "forward" in name and value for name, value in held)
    return hooked or any(callable(value) and not name.startswith("_") for name, value in held)


def _ours(code: Any) -> bool:
    return code is None or getattr(code, "__module__", "").startswith(("torch.nn.", "geodl.layer."))


def _part(layer: MessagePassing, path: str, source: Domain, target: Domain) -> Part:
    typed = layer.options.edge_types is not None
    return Part(path or type(layer).__name__, layer.rule, typed, source, target)


def _examine(part: Part, group: Group | None) -> tuple[set[str], set[str], list[str]]:
    """Claims proved everywhere, claims proved where defined, and violations of one rule."""
    claims = part.rule.symmetries(part.source, part.typed)
    if group is not None:
        claims = [c for c in claims if c.leaves] + _turns(part.source, part.target, group)
    edges = part.rule.edges(part.source, part.target)
    where = (
        f"{part.path}: {part.rule} on {part.source}"
        if part.path
        else f"{part.rule} on {part.source}"
    )
    whole, inside, broken = set(), set(), []
    for claim in claims:
        full = bool((claim.senders >= 0).all() and (claim.receivers >= 0).all())
        fault = _fault(edges, claim, part) if full or claim.leaves else "some nodes leave the map"
        if fault:
            broken.append(f"{where}, {claim.name}: {fault}")
        else:
            (whole if full else inside).add(claim.name)
    return whole, inside, broken


def _turns(source: Domain, target: Domain, group: Group) -> list[Symmetry]:
    """The point group's claims between two domains of a model; on a domain without a lattice
    nothing moves.
    """

    def moved(domain: Domain, k: int) -> Tensor:
        return (
            torch.arange(domain.num_nodes)
            if domain.lattice is None
            else rotate_nodes(domain, group, k)
        )

    return [
        Symmetry(f"{group} element {k}", moved(source, k), moved(target, k))
        for k in group.generators
    ]


def _fault(edges: Edges, claim: Symmetry, part: Part) -> str:
    """The first edge that a claim does not carry to an edge of the same type and weight, in words
    ("" if none).
    """
    n, types = part.source.num_nodes, int(edges.type.max()) + 1 if len(edges.type) else 1
    kind = edges.type if part.typed else torch.zeros_like(edges.type)
    dst, src = claim.receivers[edges.dst], claim.senders[edges.src]
    stays = (dst >= 0) & (src >= 0)
    weight = (
        torch.ones(len(kind), dtype=torch.float64)
        if edges.weight is None
        else edges.weight.double()
    )
    before = _sorted((edges.dst * n + edges.src) * types + kind, weight)
    after = _sorted(((dst * n + src) * types + kind)[stays], weight[stays])
    at = torch.searchsorted(before[0], after[0]).clamp(max=max(0, len(before[0]) - 1))
    missing = before[0][at] != after[0] if len(after[0]) else torch.zeros(0, dtype=torch.bool)
    if missing.any():
        code = int(after[0][missing][0])
        i, j, t = code // types // n, code // types % n, code % types
        return f"it carries an edge to {i} <- {j} of type {t}, where there is none of that type"
    same = not stays.all() or (
        torch.equal(before[0], after[0]) and bool(((before[1] - after[1]).abs() <= 1e-12).all())
    )
    return "" if same else "it changes the number or the weights of parallel edges"


def _sorted(code: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    first = torch.argsort(weight, stable=True)
    order = first[torch.argsort(code[first], stable=True)]
    return code[order], weight[order]


def _claims(
    module: nn.Module, source: Domain, target: Domain, group: Group | None
) -> list[Symmetry]:
    if group is not None:
        rotate_nodes(source, group, 0)  # refuses a domain on which the group does not act
        return _turns(source, target, group)
    if isinstance(module, MessagePassing):
        return module.rule.symmetries(source, _part(module, "", source, target).typed)
    still = torch.arange(target.num_nodes)
    moves = source.generators()
    if target != source and target.num_nodes != 1:
        asked = f"the equivariance of {type(module).__name__} from {source} to {target}"
        raise GeodlError(asked, "two domains", "name the group")
    return [
        Symmetry(f"generator {k + 1}", m, m if target == source else still)
        for k, m in enumerate(moves)
    ]


def _settled(module: nn.Module, domain: Domain, claim: Symmetry) -> Tensor:
    """Receivers at which a claim that leaves the map must still hold: none of their neighbors left
    or came in.
    """
    if not claim.leaves or not isinstance(module, MessagePassing):
        return (claim.receivers >= 0).nonzero()[:, 0]
    edges = module.rule.edges(domain)
    fine = claim.receivers >= 0
    fine[edges.dst[claim.senders[edges.src] < 0]] = False
    came = torch.ones(domain.num_nodes, dtype=torch.bool)
    came[claim.senders[claim.senders >= 0]] = False
    disturbed = torch.zeros(len(claim.receivers), dtype=torch.bool)
    disturbed[edges.dst[came[edges.src]]] = True
    return (fine & ~disturbed[claim.receivers.clamp(min=0)]).nonzero()[:, 0]

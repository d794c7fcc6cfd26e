"""What every domain, neighborhood and lowering owes, as functions: the registries are held to them,
and anyone's own too.
"""

import math
from collections.abc import Iterable

import torch
from hypothesis import given
from hypothesis import strategies as st

import geodl as g
from geodl.domain import Domain
from geodl.neighborhood import Edges, Neighborhood, Structure
from geodl.testing import accepting, assert_parity, error, record_lowerings
from tests.strategies import Case

EXAMPLES = 50


def hold_lowering(verb: str, name: str, cases: st.SearchStrategy[Case]) -> None:
    """A lowering agrees with the reference in values and every gradient, on at least 50 calls that
    it accepts itself.

    The path asserted is the path that ran: by force it is this one, freely it is the one that
    `explain` names.
    """
    reached: list[str] = []

    @given(cases)
    def each(case: Case) -> None:
        layer, signals = case
        assert layer.verb == verb
        errors = assert_parity(layer, *signals) if accepting(layer, *signals) else {}
        assert name in errors or name == "edges", (
            f"{name} refuses {layer.label} on {signals[-1].domain}"
        )
        choice = layer.explain(signals[-1], signals[0].domain if len(signals) > 1 else None)
        assert ran(layer, *signals) == [choice.lowering]
        assert all(reason.strip() for _, reason in choice.refused)
        layer.lowering = name
        reached.extend(ran(layer, *signals))

    each()
    assert set(reached) == {name}
    assert len(reached) >= EXAMPLES


def ran(layer: g.Layer, *signals: g.Signal) -> list[str]:
    """The lowerings on which one call really ran."""
    with record_lowerings() as names, torch.no_grad():
        layer(*signals) if layer.on is None else layer(signals[0].x)
    return names


def hold_kind(kind: type[Domain], rules: Iterable[Neighborhood]) -> int:
    """Every small example of a kind of domain keeps its promises, under every rule that takes it:
    how many did.
    """
    taken = 0
    assert kind.small()
    for domain in kind.small():
        hold_domain(domain)
        for rule in rules:
            if accepts(rule, domain):
                hold_rule(rule, domain)
                taken += 1
    return taken


def hold_domain(domain: Domain) -> None:
    """A domain keeps what its structure fields say, down to its edges."""
    n = domain.num_nodes
    dst, src, weight = domain.links()
    assert dst.shape == src.shape and (weight is None or weight.shape == dst.shape)
    assert all(int(end.min()) >= 0 and int(end.max()) < n for end in (dst, src) if len(end))
    assert domain.num_links == len(dst)
    assert not len(dst) or domain.edge_domain().num_nodes == len(dst)
    present = torch.zeros(n, n, dtype=torch.bool).index_put((dst, src), torch.tensor(True))
    for move in domain.generators():
        assert move.sort().values.tolist() == list(range(n))
        if domain.lattice is None or domain.fiber is not None or not domain.ordered:
            assert torch.equal(present[move][:, move], present), (
                "links that a generator does not preserve"
            )
    if domain.lattice is not None:
        order = domain.fiber.order if domain.fiber else 1
        assert len(domain.periodic) == len(domain.lattice)
        assert n == math.prod(domain.lattice) * order
        assert domain.replace(domain.lattice, domain.fiber, domain.periodic) == domain
    if domain.complete:
        assert torch.equal(
            present | torch.eye(n, dtype=torch.bool), torch.ones(n, n, dtype=torch.bool)
        )
    assert sum(part.num_nodes for part in domain.members or (domain,)) == n
    _hold_links(domain, present | present.T)
    assert domain.num_members == len(domain.members or (domain,))


def _hold_links(domain: Domain, linked: torch.Tensor) -> None:
    """What a domain says of its links, which closed forms of its spectrum rely on."""
    weight = domain.links().weight
    assert not (domain.linked_to_nearest or domain.linked_by_generators) or weight is None
    if domain.linked_to_nearest:
        assert domain.lattice is not None
        lattice: Domain = g.Grid(*domain.lattice, periodic=domain.periodic)
        if domain.fiber is not None:
            lattice = g.GroupGrid(lattice, domain.fiber)
        dst, src, _ = lattice.links()
        nearest = torch.zeros_like(linked).index_put((dst, src), torch.tensor(True))
        assert torch.equal(linked, nearest), "links that are not those of nearest neighbors"
    if domain.linked_by_generators:
        node = torch.arange(domain.num_nodes)
        images = torch.zeros_like(linked)
        for move in domain.generators():
            images[node, move] = True
        images &= node[:, None] != node
        assert torch.equal(linked, images | images.T), "links that no generator makes"


def accepts(rule: Neighborhood, domain: Domain) -> bool:
    """Whether a rule takes a domain; what it refuses, it refuses in words.

    That it accepts enough is held by counts: see `TAKEN` in `test_rules.py`.
    """
    try:
        reason = rule.refuses_senders(domain)
        assert isinstance(reason, str)
        if not reason:
            rule.edges(domain)
        return not reason
    except g.GeodlError:
        return False


def hold_rule(rule: Neighborhood, domain: Domain) -> None:
    """The edges of a rule are what all its fields say, and every claim of symmetry holds on
    them.
    """
    target, edges = rule.target(domain), rule.edges(domain)
    dst, src, kind, weight, _ = edges
    assert dst.shape == src.shape == kind.shape == (len(dst),)
    assert dst.dtype == src.dtype == kind.dtype == torch.long
    assert same(edges, rule.edges(domain, target))
    if len(dst):
        assert int(dst.min()) >= 0 and int(dst.max()) < target.num_nodes
        assert int(src.min()) >= 0 and int(src.max()) < domain.num_nodes
        assert int(kind.min()) >= 0
        assert domain.members is not None or int(kind.max()) < rule.num_types(domain)
    assert weight is None or (weight.shape == dst.shape and bool(torch.isfinite(weight).all()))
    assert rule.num_edge_types is None or rule.num_types(domain) == rule.num_edge_types
    if rule.is_pointwise:
        assert target is domain and dst.tolist() == src.tolist() == list(range(domain.num_nodes))
        assert weight is None and not kind.any() and rule.num_edge_types == 1
    for fan_in in (rule.fan_in(), rule.fan_in(domain)):
        assert fan_in is None or fan_in >= 1
    hold_links(domain, edges)
    hold_structures(rule, domain, target, edges)
    _hold_sheets(rule, domain, target)
    _hold_reverse(rule, domain, target, edges)
    if domain.members is None or rule.group is None:  # a union does not turn
        violations = g.certify(rule, domain).violations
        assert violations == (), violations


def _hold_sheets(rule: Neighborhood, domain: Domain, target: Domain) -> None:
    """Edges by points and tables of sheets are those that proofs compare, written out."""
    sheets = rule.sheets_to_compare(domain, target)
    if sheets is not None:
        few, made = rule.edges_to_compare(domain, target), sheets.written_out()
        assert few.weight is None
        types = 1 + int(torch.cat((few.type, made.type)).max())
        codes = [(e.dst * domain.num_nodes + e.src) * types + e.type for e in (few, made)]
        assert torch.equal(codes[0].sort().values, codes[1].sort().values)


def same(a: Edges, b: Edges) -> bool:
    """The same edges in the same order, with the same weights and links."""
    for one, other in zip(a, b, strict=True):
        if one is None or other is None:
            if one is not other:
                return False
        elif not torch.equal(one, other):
            return False
    return True


def hold_links(domain: Domain, edges: Edges) -> None:
    """The link behind an edge joins its two nodes; an edge without one joins nodes without link."""
    dst, src, link = edges.dst, edges.src, edges.link
    if link is None:
        return
    assert link.shape == dst.shape and link.dtype == torch.long
    assert not len(link) or (int(link.min()) >= -1 and int(link.max()) < domain.num_links)
    links, given = domain.links(), link >= 0
    ends = torch.stack((links.dst[link[given]], links.src[link[given]]))
    straight = (ends == torch.stack((dst[given], src[given]))).all(0)
    turned = (ends == torch.stack((src[given], dst[given]))).all(0)
    assert (straight | turned).all(), "a link that joins other nodes"
    pairs = set(zip(links.dst.tolist(), links.src.tolist(), strict=True))
    apart = ~given & (dst != src)
    added = zip(dst[apart].tolist(), src[apart].tolist(), strict=True)
    assert not any((i, j) in pairs or (j, i) in pairs for i, j in added), "a link is left out"


def hold_structures(
    rule: Neighborhood, source: Domain, target: Domain, edges: Edges
) -> list[type[Structure]]:
    """Every record of a rule is its edges, written out in another way: the kinds that it has."""
    records = rule.structures(source, target)
    kinds = [type(record) for record in records]
    assert len(set(kinds)) == len(kinds), "two records of one kind"
    for record in records:
        promised = record.edges(source, target)
        if record.weighted:
            _hold_weights(promised, edges, source, target)
            continue
        assert edges.weight is None, "a record promises unweighted edges"
        assert sorted_edges(promised, record.typed) == sorted_edges(edges, record.typed), record
        if record.lookback is not None and source.members is None:
            distance = edges.dst + source.num_nodes - target.num_nodes - edges.src
            assert not len(distance) or int(distance.min()) >= 0
            assert not len(distance) or int(distance.max()) <= record.lookback
    return kinds


def _hold_weights(promised: Edges, edges: Edges, source: Domain, target: Domain) -> None:
    """The promised sums of weights between two nodes, over each type, are those of the edges."""
    types = 1 + int(torch.cat((promised.type, edges.type)).max())
    matrices = []
    for e in (promised, edges):
        values = torch.ones(len(e.dst), dtype=torch.float64)
        if e.weight is not None:
            values = e.weight.double()
        matrix = torch.zeros(types, target.num_nodes, source.num_nodes, dtype=torch.float64)
        matrices.append(matrix.index_put((e.type, e.dst, e.src), values, accumulate=True))
    assert error(*matrices) < 1e-10


def sorted_edges(edges: Edges, typed: bool) -> list[tuple[int, ...]]:
    """Receiver, sender and, where it counts, type of each edge, in order."""
    columns = edges[:3] if typed else edges[:2]
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def _hold_reverse(rule: Neighborhood, domain: Domain, target: Domain, edges: Edges) -> None:
    """The same edges the other way, and back again; a call names the receivers."""
    back = rule.reverse()
    assert back.reverse() == rule
    turned = back.edges(target, domain)
    _hold_sheets(back, target, domain)
    assert same(turned._replace(dst=turned.src, src=turned.dst), edges)
    hold_structures(back, target, domain, turned)
    if rule.refuses_pair(domain, target) == "":
        assert back.refuses_pair(target, domain) == ""
    if domain.members is None:
        named = rule.reverse(onto=domain)
        assert named.target(target) == domain
        assert accepts(named, target)

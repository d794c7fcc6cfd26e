"""What names a plan: torch.compile looks at every key of a store, and cannot hash what owns
tensors; what a key holds would live for ever.
"""

import dataclasses
from collections.abc import Iterator

import torch

import geodl as g
from geodl.lowering import plans
from tests.table import rows

ROWS = rows()


def owned(part: object) -> Iterator[str]:
    """The fields, in a key or in what it holds, that are tensors or caches."""
    if isinstance(part, dict | torch.Tensor):
        yield type(part).__name__
    elif isinstance(part, tuple | list):
        for piece in part:
            yield from owned(piece)
    elif dataclasses.is_dataclass(part):
        for field in dataclasses.fields(part):
            yield from owned(getattr(part, field.name))


def test_no_key_of_the_store_of_all_values_owns_tensors(monkeypatch):
    monkeypatch.setattr(plans, "VALUES", plans.Store())
    for row in ROWS.values():
        first, *others = row.signals()
        if row.layer.on is None:
            row.layer(first, *others)
        else:
            row.layer(first.x)
    assert len(plans.VALUES) > 10
    assert [key for key in plans.VALUES if list(owned(key))] == []


def test_a_key_with_a_relation_or_a_graph_is_found():
    relation = g.relation([[0], [1]], senders=2, receivers=2)
    assert list(owned(("convolve", "auto", (relation, None))))
    assert list(owned(("convolve", g.window(2, stride=2).reverse(onto=g.Graph([[0], [1]], 2)))))
    assert list(owned(("convolve", g.window(3), g.Grid(3, 3), g.C(4)))) == []


def test_compilers_look_at_no_plan_of_another_size(monkeypatch):
    """They guard every key of a dictionary of records: a compiled call took longer with each."""
    monkeypatch.setattr(plans, "VALUES", plans.Store())
    layer, counted = g.Conv(2, 2, g.window(3, axes=1)), []
    for others in (3, 30):
        for n in range(10, 10 + others):
            layer(g.Signal(torch.zeros(1, n, 2), g.Chain(n)))
        torch.compiler.reset()
        seen = torch._dynamo.explain(layer)(g.Signal(torch.zeros(1, 10, 2), g.Chain(10)))
        counted.append(len(seen.out_guards))
    assert len(plans.VALUES) == 30 and counted[0] == counted[1] > 0
    torch.compiler.reset()

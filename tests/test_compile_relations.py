"""Relations that are new at every step, compiled: their tensors are inputs, and few compilations
serve all of them.
"""

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

import geodl as g
from geodl.testing import error
from tests.compilation import random_signal, same_when_compiled

pytestmark = pytest.mark.usefixtures("fresh_compiler")


def sampled(k: int, *, weighted: bool, within: bool) -> tuple[g.Signal, g.Neighborhood]:
    """A relation of sizes that grow with k, and a signal of its senders."""
    n, m, generator = 5 + k, 3 + 2 * k, torch.Generator().manual_seed(k)
    m = n if within else m
    src = torch.randint(n, (4 * n + k,), generator=generator)
    dst = torch.randint(m, (4 * n + k,), generator=generator)
    weight = torch.rand(4 * n + k, generator=generator) if weighted else None
    sides = {"senders": n, "receivers": None if within else m}
    rule = g.relation(torch.stack((src, dst)), weight=weight, **sides)
    return random_signal(g.Complete(n), 4, batch=1), rule


LAYERS = {
    "Conv": (lambda: g.Conv(4, 3, g.itself()), True, False),
    "Conv within one set": (lambda: g.Conv(4, 3, g.itself()), False, True),
    "Pool": (lambda: g.Pool(g.itself(), "mean"), False, False),
    "Attention": (lambda: g.Attention(4, g.itself(), 2), False, True),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("reverse", [False, True])
def test_twenty_relations_cost_at_most_two_compilations(name, reverse):
    make, weighted, within = LAYERS[name]
    layer, counter = make(), CompileCounterWithBackend("aot_eager")

    @torch.compile(fullgraph=True, backend=counter)
    def fast(signal: g.Signal, rule: g.Neighborhood) -> torch.Tensor:
        return layer(signal, rule=rule).x

    for k in range(20):
        s, rule = sampled(k, weighted=weighted, within=within)
        if reverse:
            rule, s = rule.reverse(), random_signal(rule.target(s.domain), 4, batch=1)
        wanted = layer(s, rule=rule).x  # the plan is made outside
        assert error(fast(s, rule), wanted) < 1e-6
    assert counter.frame_count <= 2


def test_features_of_edges_enter_compiled_code():
    layer = g.Attention(4, g.itself(), 2, edge_channels=2)
    counter = CompileCounterWithBackend("aot_eager")

    @torch.compile(fullgraph=True, backend=counter)
    def fast(signal: g.Signal, receiver: g.Signal, e: torch.Tensor) -> torch.Tensor:
        return layer(receiver, signal, rule=rule.with_edges(e)).x

    s, rule = sampled(3, weighted=False, within=False)
    receiver = random_signal(g.Complete(rule.receivers), 4, batch=1)
    for scale in (1.0, 2.0):
        e = scale * torch.ones(1, rule.edge_index.shape[1], 2)
        wanted = layer(receiver, s, rule=rule.with_edges(e)).x
        assert error(fast(s, receiver, e), wanted) < 1e-6
    assert counter.frame_count == 1


def test_a_layer_over_a_relation_compiles_with_its_gradients():
    s, rule = sampled(3, weighted=True, within=False)
    layer = g.Conv(4, 3, rule)
    g.prepare(layer, s)
    same_when_compiled(layer, s)


def test_weights_that_come_with_the_call_compile_with_their_gradients():
    s, rule = sampled(3, weighted=False, within=False)
    layer, counter = g.Conv(4, 3, g.itself()), CompileCounterWithBackend("aot_eager")

    @torch.compile(fullgraph=True, backend=counter)
    def fast(signal: g.Signal, w: torch.Tensor) -> torch.Tensor:
        return layer(signal, rule=rule.with_weights(w)).x

    for scale in (1.0, 2.0, 3.0):
        w = torch.full((rule.edge_index.shape[1],), scale, requires_grad=True)
        wanted = layer(s, rule=rule.with_weights(w)).x
        (theirs,) = torch.autograd.grad(wanted.square().sum(), w)
        found = fast(s, w)
        (ours,) = torch.autograd.grad(found.square().sum(), w)
        assert error(found, wanted) < 1e-5 and error(ours, theirs) < 1e-4
    assert counter.frame_count <= 2

"""What reads its structure from numbers under `torch.func`: gradients and forward mode are those of
reverse mode, maps over samples are refused in words, or work where the structure is one for all.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import functional
from torch.func import functional_call, grad, jvp, vmap

import geodl as g
from geodl.inspection import dirichlet_energy
from geodl.testing import error

RING = g.Graph([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]], 6)
TWO = g.Batch([RING, RING])
INDEX = RING.edge_index
LAYERS = {
    "nearest neighbors": lambda: g.models.edge_conv_layer(3, 3, k=2),
    "best nodes": lambda: g.TopK(3),
    "a network of them": lambda: g.models.graph_unet(3, 4, 3),
}
every = pytest.mark.parametrize("name", LAYERS)


def values(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def made(name: str) -> tuple[g.layer.Layer, Callable[[Tensor], Tensor]]:
    torch.manual_seed(0)
    layer = LAYERS[name]().double()
    return layer, lambda x: layer(g.Signal(x, RING)).x


@every
def test_samples_with_structures_of_their_own_are_refused(name):
    layer, call = made(name)
    samples = values(2, 1, 6, 3)
    for transformed in (vmap(call), vmap(grad(lambda x: call(x).sum()))):
        with pytest.raises(g.GeodlError, match=r"differ from sample to sample .* g\.Batch"):
            transformed(samples)
    # What the advice says.
    side_by_side = g.Signal(samples.view(1, 12, 3), TWO)
    found = layer(side_by_side).x
    assert error(found.view(2, -1, 3), torch.cat([call(x) for x in samples])) < 1e-12


@every
def test_one_sample_has_every_derivative(name):
    _, call = made(name)
    x, tangent = values(2, 1, 6, 3)

    def loss(x: Tensor) -> Tensor:
        return call(x).sin().sum()

    assert error(grad(loss)(x), functional.vjp(loss, x)[1]) < 1e-10
    assert error(jvp(call, (x,), (tangent,))[1], functional.jvp(call, x, tangent)[1]) < 1e-10
    found = jvp(grad(loss), (x,), (tangent,))[1]
    assert error(found, functional.hvp(loss, x, tangent)[1]) < 1e-10


def test_parameters_of_each_member_of_an_ensemble():
    layer, call = made("nearest neighbors")
    x = values(1, 6, 3)
    stacks = {name: torch.stack((p, 2 * p)).detach() for name, p in layer.named_parameters()}

    def run(parameters: dict[str, Tensor]) -> Tensor:
        return functional_call(layer, parameters, (g.Signal(x, RING),)).x

    assert error(vmap(run)(stacks)[0], call(x)) < 1e-12
    layer, _ = made("best nodes")
    with pytest.raises(g.GeodlError, match="nodes to keep that would differ"):
        vmap(run)({"weight": values(2, 3)})


X = values(1, 6, 3)
MAPPED = {
    "clusters": (
        lambda one: g.models.cluster_pool(g.Signal(X, RING), one)[0].x,
        torch.tensor([[0, 0, 1, 1, 2, 2], [0, 1, 1, 2, 2, 2]]),
    ),
    "kept nodes": (lambda one: g.Signal(X, RING).restrict(one)[0].x, torch.tensor([[0], [1]])),
    "a mask of nodes": (
        lambda one: g.Signal(X, RING).restrict(one)[0].x,
        torch.eye(6, dtype=torch.bool),
    ),
    "a mask of tokens": (
        lambda one: g.Signal.sequence(X, one).x,
        torch.ones(2, 1, 6, dtype=torch.bool),
    ),
    "links": (lambda one: g.Graph(one, 6).edge_index, INDEX.expand(2, -1, -1)),
    "weights": (lambda one: g.Graph(INDEX, 6, edge_weight=one).edge_weight, torch.ones(2, 6)),
    "types": (lambda one: g.Graph(INDEX, 6, edge_type=one).edge_type, torch.ones(2, 6).long()),
    "attributes": (lambda one: g.Graph(INDEX, 6, edge_attr=one).edge_attr, torch.ones(2, 6, 1)),
    "a relation": (
        lambda one: g.relation(one, senders=6, receivers=6).edge_index,
        INDEX.expand(2, -1, -1),
    ),
    "members": (lambda one: TWO.select(one).nodes, torch.tensor([[0], [1]])),
    "starts": (lambda one: g.Batch.from_union(RING, one).starts, torch.tensor([[0, 6]] * 2)),
}


@pytest.mark.parametrize("name", MAPPED)
def test_structure_of_each_sample_is_refused(name):
    call, samples = MAPPED[name]
    call(samples[0])
    with pytest.raises(g.GeodlError, match=r"differ from sample to sample under torch\.func\.vmap"):
        vmap(call)(samples)


WHOLE = {
    "clusters": lambda x: g.models.cluster_pool(g.Signal(x, RING), [0, 0, 1, 1, 2, 2])[0].x,
    "kept nodes": lambda x: g.Signal(x, RING).restrict([0, 2])[0].x,
    "a mask of tokens": lambda x: g.Signal.sequence(x, torch.tensor([[True] * 4 + [False] * 2])).x,
    "energy": lambda x: dirichlet_energy(g.Signal(x, RING)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_values_of_each_sample_on_one_structure(name):
    samples = values(3, 1, 6, 3)
    wanted = torch.stack([WHOLE[name](x) for x in samples])
    assert error(vmap(WHOLE[name])(samples), wanted) < 1e-12


def test_tokens_of_each_sample():
    layer = g.Embedding(5, 2)

    def call(ids: Tensor) -> Tensor:
        return layer(g.Signal.tokens(ids)).x

    ids = torch.tensor([[[0, 1, 4]], [[2, 2, 3]]])
    assert vmap(call)(ids).equal(torch.stack([call(one) for one in ids]))
    with pytest.raises(g.GeodlError, match="ids from 0 to 5"):
        vmap(call)(torch.tensor([[[0, 1]], [[2, 5]]]))

"""`torch.func` on layers: gradients of functions of the parameters, one for each sample, and under
another map.
"""

import pytest
import torch
from torch.func import functional_call, grad, jacrev, vmap

import geodl as g
from geodl.testing import error

GRAPH = g.Graph([[0, 1, 2, 3, 1], [1, 2, 3, 0, 3]], 5)


def layers():
    return {
        "spmm": (g.Conv(4, 3, g.adjacency("sym", self_loops=True)), GRAPH),
        "spmm, aggregating first": (g.Conv(3, 4, g.adjacency("sym", self_loops=True)), GRAPH),
        "lattice": (g.Conv(4, 3, g.window(3)), g.Grid(4, 4)),
        "mean": (g.Conv(4, 3, g.all_pairs("self")), g.Complete(5)),
    }


@pytest.mark.parametrize("name", layers())
def test_gradients_of_each_sample_are_those_of_the_samples_alone(name):
    layer, domain = layers()[name]
    x = torch.randn(3, domain.num_nodes, layer.channels_in)
    g.testing.assert_lowered_to(name.split(",")[0], layer, g.Signal(x, domain))
    parameters = {key: p.detach() for key, p in layer.named_parameters()}

    def loss(parameters, x):
        return functional_call(layer, parameters, (g.Signal(x[None], domain),)).x.square().sum()

    each = vmap(grad(loss, argnums=(0, 1)), in_dims=(None, 0))(parameters, x)
    for k, one in enumerate(x):
        one = one.clone().requires_grad_()
        ours = layer(g.Signal(one[None], domain)).x.square().sum()
        wanted = torch.autograd.grad(ours, (layer.weight, layer.bias, one))
        found = (each[0]["weight"][k], each[0]["bias"][k], each[1][k])
        assert max(error(a, b) for a, b in zip(found, wanted, strict=True)) < 1e-5


def test_the_jacobian_of_a_graph_convolution_is_its_operator():
    layer = g.Conv(1, 1, g.adjacency("sym", self_loops=True), bias=False)
    jacobian = jacrev(lambda x: layer(g.Signal(x[None, :, None], GRAPH)).x[0, :, 0])(torch.randn(5))
    dst, src, _, weight = layer.rule.edges(GRAPH)
    operator = torch.zeros(5, 5).index_put((dst, src), weight.float(), accumulate=True)
    assert error(jacobian, layer.weight.item() * operator) < 1e-6

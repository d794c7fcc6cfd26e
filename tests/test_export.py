"""Layers on a domain, exported: the same numbers after saving and loading."""

import io

import pytest
import torch

import geodl as g
from geodl.testing import error
from tests.compilation import random_signal
from tests.table import GRID, P4, SET, rows

pytestmark = pytest.mark.usefixtures("fresh_compiler")
ON = {name: row for name, row in rows().items() if row.layer.on is not None}


@pytest.mark.parametrize("name", ON)
def test_layers_on_a_domain_are_exported(name):
    assert_exported(ON[name].layer, ON[name].domain)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "layer",
    [
        lambda: g.Conv(4, 3, g.window(3), on=GRID),
        lambda: g.Conv(4, 3, g.window(3, group=g.C(4)), on=P4),
        lambda: g.Conv(4, 3, g.window(2, stride=2).reverse(), on=GRID),
        lambda: g.Conv(4, 3, g.all_pairs("self"), on=SET),
        lambda: g.Attention(4, g.all_pairs(), 2, on=SET),
        lambda: g.Pool(g.window(2, padding="valid"), on=GRID),
    ],
)
def test_lattice_and_complete_layers_are_exported(layer, training):
    made = layer().train(training)
    assert_exported(made, made.on)


@pytest.mark.parametrize("score", ["dot", "linear"])
def test_products_on_a_graph_are_exported_while_gradients_are_on(score):
    cycle = g.Graph([[0, 1, 2], [1, 2, 0]], 3)
    layer = g.Attention(4, g.adjacency(), 2, score=score, on=cycle)
    x = random_signal(cycle, 4).x
    y = layer(x)
    program = torch.export.export(layer, (x,))
    assert error(program.module()(x), y) < 1e-6


def test_chains_of_different_lengths_are_exported_level_by_level():
    chains = g.Batch([g.Chain(3), g.Chain(5)])
    layer = g.Recurrent(4, 3, on=chains)
    x = random_signal(chains, 4).x
    y = layer(x)
    with pytest.raises(g.GeodlError, match="torch.export .*lowering = 'levels'"):
        torch.export.export(layer, (x,))
    layer.lowering = "levels"
    layer(x)
    assert error(torch.export.export(layer, (x,)).module()(x), y) < 1e-6


def test_chains_of_different_lengths_run_on_meta():
    chains = g.Batch([g.Chain(3), g.Chain(5)])
    layer = g.Recurrent(4, 3, on=chains).to("meta")
    assert layer(torch.randn(2, 8, 4, device="meta")).shape == (2, 8, 3)


def assert_exported(layer: g.Layer, domain: g.Domain) -> None:
    """Exported, run, saved, loaded and run again: the layer's numbers."""
    x = random_signal(domain, 4).x
    with torch.no_grad():
        y = layer(x)
        program = torch.export.export(layer, (x,))
        file = io.BytesIO()
        torch.export.save(program, file)
        file.seek(0)
        loaded = torch.export.load(file)
        assert error(program.module()(x), y) < 1e-6
        assert error(loaded.module()(x), y) < 1e-6
    assert set(program.state_dict) == set(layer.state_dict())

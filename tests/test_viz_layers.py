"""The picture of a network's layers, and of what a node of its answer hears."""

import pytest
import torch
from torch import nn

import geodl as g
from geodl.interop import from_torch


def words(figure):
    return " ".join(text.get_text() for text in figure.axes[0].texts)


def test_a_node_hears_its_receptive_field():
    row = g.Sequential(g.Conv(1, 4, g.window(3)), nn.Sigmoid(), g.Conv(4, 1, g.window(3)))
    image = g.Signal.image(torch.randn(1, 1, 7, 7))
    figure = g.viz.network(row, image, output=24)
    assert figure.axes[1].get_title() == "node 24 hears 25 of 49 nodes"
    assert g.viz.network(row, image, output=0).axes[1].get_title().startswith("node 0 hears 9")
    drawn = figure.axes[1].images[0].get_array()
    assert int((drawn > 0).sum()) == 25
    assert len(g.viz.network(row, image).axes) == 1
    assert "Conv(1, 4, window(3x3))" in words(figure)


def test_an_import_shows_what_it_reads_and_its_gaps():
    class Sorted(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(3, 3)

        def forward(self, x):
            return self.lin(x).sort(-1)[0] + x

    x = torch.randn(1, 4, 3)
    network = from_torch(Sorted(), x)
    figure = g.viz.network(network, x, title="sorted")
    assert "Opaque(sort)" in words(figure)
    bold = [t.get_text() for t in figure.axes[0].texts if t.get_fontweight() == "bold"]
    assert len(bold) == len(network.opaque())
    assert figure.get_suptitle() == "sorted"


def test_what_cannot_be_drawn_is_refused():
    layer, image = g.Conv(1, 1, g.window(3)), g.Signal.image(torch.ones(1, 1, 3, 3))
    with pytest.raises(g.GeodlError, match="output=9"):
        g.viz.network(layer, image, output=9)
    with pytest.raises(g.GeodlError, match="a str"):
        g.viz.network("x", image)
    tokens = g.Signal.tokens(torch.zeros(1, 3, dtype=torch.long))
    with pytest.raises(g.GeodlError, match="no derivative"):
        g.viz.network(g.Embedding(3, 2), tokens, output=0)

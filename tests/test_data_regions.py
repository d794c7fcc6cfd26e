"""Images as graphs of superpixels; where scikit-image is not asked, regions are given by hand."""

import sys

import numpy as np
import pytest
import torch

import geodl as g
from geodl import data
from geodl.data import regions
from geodl.train.parts import graph_parts

# Three regions: the left half of the upper rows, the right half of them, and all below.
QUARTERS = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 2, 2], [2, 2, 2, 2]])


@pytest.fixture
def by_hand(monkeypatch):
    monkeypatch.setattr(regions, "segment", lambda image, count, compactness: QUARTERS)


def test_an_image_is_pooled_onto_its_regions_and_back(by_hand):
    found = data.superpixels(torch.zeros(2, 4, 4), 3)
    x = torch.arange(32.0).reshape(1, 2, 4, 4)
    pixels = g.Signal.image(x)
    means = g.Pool(found.relation, "mean")(g.Signal(torch.zeros(1, 3, 2), found.graph), pixels)
    assert means.domain is found.graph
    assert means.x[0, :, 0].tolist() == [2.5, 4.5, 11.5]
    back = g.Propagate(found.relation.reverse())(means).x[0, :, 0].reshape(4, 4)
    assert torch.equal(back, torch.tensor([2.5, 4.5, 11.5])[torch.from_numpy(QUARTERS)])
    assert found.graph.edge_index.T.tolist() == [[0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1]]


def test_digits_as_graphs_of_regions(monkeypatch):
    kinds = [QUARTERS, QUARTERS // 2, QUARTERS]
    monkeypatch.setattr(
        regions, "segment", lambda image, count, compactness: kinds[int(image[0, 0, 0])]
    )
    images = torch.arange(3.0)[:, None, None, None].expand(3, 1, 4, 4).clone()
    images[2, 0, 3, 3] = 10.0
    found = regions.region_graphs(data.Split(images, torch.tensor([5, 6, 7])), 3, 3, 1)
    assert found.signal.domain.sizes == (3, 2, 3) and found.labels.tolist() == [5, 6, 7]
    x = found.signal.x[0]
    assert x[:, 0].tolist() == [0, 0, 0, 1, 1, 2, 2, 3]
    assert x[:3, 1:].tolist() == [[0.25, 0.25], [0.25, 0.75], [0.75, 0.5]]
    assert x[3:5, 1:].tolist() == [[0.25, 0.5], [0.75, 0.5]]
    dst, src, _ = found.signal.domain.links()
    assert torch.stack((src, dst)).tolist() == [[1, 0, 0, 4, 3, 6, 5, 5], list(range(8))]
    parts = graph_parts(data.GraphSplits("toy", found, found, found))
    assert parts.train.count(2) == 2 and parts.data == "toy"


def test_regions_of_slic():
    pytest.importorskip("skimage")
    image = torch.zeros(1, 12, 12)
    image[:, :, 6:] = 1.0
    numbers = regions.segment(image.numpy(), 4, 0.1)
    assert numbers.shape == (12, 12) and numbers.min() == 0
    assert len(np.unique(numbers)) == numbers.max() + 1 >= 2
    assert not set(numbers[:, :6].flatten()) & set(numbers[:, 6:].flatten())


def test_what_has_no_regions(monkeypatch):
    def refused(words, act):
        with pytest.raises(g.GeodlError, match=words):
            act()

    refused("one image", lambda: data.superpixels(torch.zeros(4, 4)))
    refused("a list", lambda: data.superpixels([1.0]))
    refused("near no color", lambda: data.superpixels(torch.full((1, 4, 4), torch.nan)))
    refused("0 superpixels", lambda: data.superpixels(torch.zeros(1, 4, 4), 0))
    refused("compactness", lambda: data.superpixels(torch.zeros(1, 4, 4), compactness=-1.0))
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    refused("scikit-image", lambda: data.superpixels(torch.zeros(1, 4, 4)))

"""The graph networks of `g.models`, small: each is held to the reference, to PyG and to itself."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

import geodl as g
from geodl import models

TYPES, EDGES = 3, 2


class Entry(NamedTuple):
    """A network of C_0 = 4 channels.

    Attributes:
        make: builds it.
        edges: whether it reads the signal's `edges`, of EDGES channels.
        by_data: whether shapes depend on data: one signal at a time, and not compiled whole.
    """

    make: Callable[[], nn.Module]
    edges: bool = False
    by_data: bool = False


NETWORKS = {
    "gcn": Entry(lambda: models.gcn(4, 3, 2)),
    "chebnet": Entry(lambda: models.chebnet(4, 3, 2)),
    "sage mean": Entry(lambda: models.graph_sage(4, 6, 2, root="concat")),
    "sage max": Entry(lambda: models.graph_sage(4, 3, 2, aggregation="max", project=True)),
    "sgc": Entry(lambda: models.sgc(4, 2)),
    "appnp": Entry(lambda: models.appnp(4, 3, 2, hops=3)),
    "gcnii": Entry(lambda: models.gcnii(4, 3, 2, depth=3)),
    "gat": Entry(lambda: models.gat(4, 6, 2, heads=3, last_heads=2)),
    "gatv2": Entry(lambda: models.gatv2(4, 6, 2, heads=3)),
    "transformer": Entry(lambda: models.graph_transformer(4, 6, 2, heads=2)),
    "edge transformer": Entry(
        lambda: models.graph_transformer(4, 6, 2, heads=2, edge_channels=EDGES), edges=True
    ),
    "gin": Entry(lambda: models.gin(4, 3, 2, eps=0.3, train_eps=True)),
    "gine": Entry(lambda: models.gine(4, 3, 2, edge_channels=EDGES), edges=True),
    "rgcn": Entry(lambda: models.rgcn(4, 3, 2, types=TYPES)),
    "rgcn of bases": Entry(lambda: models.rgcn(4, 3, 2, types=TYPES, bases=2)),
    "jumping": Entry(lambda: jumping()),
    "jumping by lstm": Entry(lambda: jumping("lstm", 3)),
    "pna": Entry(lambda: models.pna(4, 3, 2, mean_log_degree=1.3)),
    "pna of edges": Entry(
        lambda: models.pna(4, 2, mean_log_degree=1.3, edge_channels=EDGES), edges=True
    ),
    "gated": Entry(lambda: models.gated_gcn(4, 3, 3, 2)),
    "gated by edges": Entry(lambda: models.gated_gcn(4, 3, 2, edge_channels=EDGES), edges=True),
    "edge conv": Entry(lambda: models.edge_conv(4, 3, 2, k=None)),
    "mpnn": Entry(
        lambda: models.mpnn(4, 3, 2, edge_channels=EDGES, steps=2, edge_hidden=5), edges=True
    ),
    "graph net": Entry(lambda: models.graph_net(4, 3, 2, level="node", edge_channels=EDGES), True),
    "virtual node": Entry(lambda: virtual()),
    "gps": Entry(lambda: models.gps(4, 4, 2, depth=1, heads=2)),
    "gps of edges": Entry(
        lambda: models.gps(4, 4, 2, depth=1, heads=2, edge_channels=EDGES), edges=True
    ),
    "deep sets": Entry(lambda: models.deep_sets(4, 3, 2)),
    # Which nodes stay, and who is near, depends on data.
    "unet": Entry(lambda: models.graph_unet(4, 8, 2, depth=2), by_data=True),
    "unet of links": Entry(
        lambda: models.graph_unet(4, 8, 2, depth=1, two_hops=False), by_data=True
    ),
    "nearest": Entry(lambda: models.edge_conv(4, 3, 2, k=2), by_data=True),
}


def jumping(join: str = "max", channels: int | None = None) -> nn.Module:
    """Two layers, both of which the answer reads."""
    rule = g.adjacency("sym", self_loops=True)
    layers = (g.Conv(4, 3, rule), g.Conv(3, 3, rule))
    return models.jumping_knowledge(*layers, join=join, channels=channels)


def virtual() -> nn.Module:
    """Three layers with a virtual node between them."""
    rule = g.adjacency("sym", self_loops=True)
    layers = (g.Conv(4, 3, rule), g.Conv(3, 3, rule), g.Conv(3, 3, rule))
    return models.virtual_node(*layers, channels=3)


def built(name: str) -> nn.Module:
    """A network in float64 and evaluation, every parameter and statistic drawn anew."""
    torch.manual_seed(0)
    model = NETWORKS[name].make().double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn_like(p) / 2)
        for key, b in model.named_buffers():
            if key.endswith("running_var"):
                b.copy_(torch.rand_like(b) + 0.5)
            elif b.is_floating_point():
                b.copy_(0.3 * torch.randn_like(b))
    return model


def graph(num_nodes: int, seed: int) -> g.Graph:
    """Links both ways with types, and the last node alone."""
    generator = torch.Generator().manual_seed(seed)
    one_way = torch.randint(num_nodes - 1, (2, 2 * num_nodes), generator=generator)
    one_way = one_way[:, one_way[0] != one_way[1]]
    both = torch.cat((one_way, one_way.flip(0)), 1)
    types = torch.randint(TYPES, both.shape[1:], generator=generator)
    return g.Graph(both, num_nodes, edge_type=types)


def signal(name: str, domain: g.Domain, batch: int = 2, seed: int = 0) -> g.Signal:
    """Normal values, and edges where the network reads them."""
    generator = torch.Generator().manual_seed(seed)
    options = {"generator": generator, "dtype": torch.float64}
    x = torch.randn(batch, domain.num_nodes, 4, **options)
    edges = None
    if NETWORKS[name].edges:
        edges = torch.randn(batch, domain.num_links, EDGES, **options)
    return g.Signal(x, domain, edges)

"""An epoch of the Cora recipe (dropout, forward, backward, Adam) against PyG's GCN on dense and on
sparse features.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl import data
from geodl.bench.harness import Case, Side, device
from geodl.data import NodeData
from geodl.errors import GeodlError
from geodl.interop import to_pyg
from geodl.layer import Conv
from geodl.models import gcn
from geodl.signal import Signal


@dataclass(frozen=True)
class Sizes:
    """Channels of the hidden layer, and the loader of the data."""

    hidden: int = 16
    load: Callable[..., NodeData] = data.cora


def cases(sizes: Sizes = Sizes()) -> Iterator[Case]:
    """PyG with the dense features that its data sets hold, and with sparse ones."""
    name = f"Cora epoch, hidden {sizes.hidden}, sparse features"
    peers = (("PyG GCN, dense x", 0.12), ("PyG GCN, sparse x", 1.0))
    try:
        cora = sizes.load(sparse=True)
    except GeodlError as error:
        for peer, reach in peers:
            yield Case(name, peer, reach=reach, missing=f"{error.args[0]}: {error.args[2]}")
        return
    for peer, reach in peers:
        yield Case(name, peer, *_sides(sizes, cora, peer.endswith("dense x")), reach)


def _sides(sizes: Sizes, cora: NodeData, dense: bool) -> tuple[Side, Side]:
    signal = cora.signal.to(device())
    graph, x = signal.domain, signal.x
    labels, train = cora.labels.to(device()), cora.train.to(device())
    net = gcn(x.shape[-1], sizes.hidden, cora.num_classes).to(device())
    twin = _Twin(
        [layer for layer in net if isinstance(layer, Conv)],
        graph.tensors()[0],
        x.to_dense() if dense else x,
    )
    return (
        _side(net, lambda: net(Signal(x, graph)).x[0], labels, train),
        _side(twin, twin, labels, train),
    )


class _Twin(nn.Module):
    """The same network of PyG's layers, normalisation cached."""

    def __init__(self, layers: list[Conv], index: Tensor, x: Tensor):
        super().__init__()
        twins: list[Any] = [to_pyg(layer) for layer in layers]
        for twin in twins:
            twin.cached = True
        self.layers = nn.ModuleList(twins)
        self.index, self.x = index, x

    def forward(self) -> Tensor:
        first, second = self.layers
        x = self.x
        if x.layout == torch.sparse_csr:
            values = F.dropout(x.values(), 0.5, self.training)
            x = torch.sparse_csr_tensor(
                x.crow_indices(), x.col_indices(), values, x.shape, check_invariants=False
            )
        else:
            x = F.dropout(x, 0.5, self.training)
        h = F.relu(first(x, self.index))
        return second(F.dropout(h, 0.5, self.training), self.index)


def _side(net: nn.Module, logits: Callable[[], Tensor], labels: Tensor, train: Tensor) -> Side:
    first, *rest = _groups(net)
    adam = torch.optim.Adam(
        [{"params": first, "weight_decay": 5e-4}, {"params": [p for part in rest for p in part]}],
        lr=0.01,
    )

    def epoch() -> None:
        net.train()
        adam.zero_grad()
        F.cross_entropy(logits()[train], labels[train]).backward()
        adam.step()

    def answer() -> list[Tensor]:
        net.eval()
        y = logits()
        gradient = torch.autograd.grad(
            F.cross_entropy(y[train], labels[train]), list(_groups(net)[1])
        )
        return [y.detach(), *sorted(gradient, key=lambda g: g.dim())[:1]]

    return Side(epoch, answer)


def _groups(net: Any) -> list[list[nn.Parameter]]:
    """The parameters of each graph convolution."""
    return [
        list(layer.parameters())
        for layer in net.modules()
        if isinstance(layer, Conv) or type(layer).__name__ == "GCNConv"
    ]

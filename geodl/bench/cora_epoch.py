"""An epoch of the Cora recipe (dropout, forward, backward, Adam) against PyG's GCN on dense and on
sparse features.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl import data
from geodl.bench.harness import Case, Side
from geodl.bench.meter import CPU
from geodl.data import NodeData
from geodl.errors import GeodlError
from geodl.interop import to_pyg
from geodl.layer import Conv
from geodl.models import gcn
from geodl.signal import Signal


class Sizes(NamedTuple):
    """Channels of the hidden layer, and the loader of the data."""

    hidden: int = 16
    load: Callable[..., NodeData] = data.cora


USUAL = Sizes()


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """PyG with the dense features that its data sets hold, and with sparse ones."""
    name = f"Cora epoch, hidden {sizes.hidden}, sparse features"
    peers = (("PyG GCN, dense x", 0.12), ("PyG GCN, sparse x", 1.0))
    try:
        cora = sizes.load(sparse=True)
    except GeodlError as error:
        missing = f"{error.args[0]}: {error.args[2]}"
        for peer, reach in peers:
            yield Case(name, peer, reach=reach, missing=missing)
        return
    for peer, reach in peers:
        dense = peer.endswith("dense x")
        yield Case(name, peer, *_sides(sizes, cora, dense, device), reach)


def _sides(sizes: Sizes, cora: NodeData, dense: bool, device: torch.device) -> tuple[Side, Side]:
    signal = cora.signal.to(device)
    graph, x = signal.domain, signal.x
    labels, train = cora.labels.to(device), cora.train.to(device)
    net = gcn(x.shape[-1], sizes.hidden, cora.num_classes).to(device)
    convolutions = [layer for layer in net if isinstance(layer, Conv)]
    features = x.to_dense() if dense else x
    twin = _Twin(convolutions, graph.tensors()[0], features)
    ours = _side(net, lambda: net(Signal(x, graph)).x[0], labels, train)
    return ours, _side(twin, twin, labels, train)


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
        h = F.relu(first(self._dropped_features(), self.index))
        return second(F.dropout(h, 0.5, self.training), self.index)

    def _dropped_features(self) -> Tensor:
        """The features after dropout: a zero of a sparse matrix stays one whatever is dropped."""
        x = self.x
        if x.layout != torch.sparse_csr:
            return F.dropout(x, 0.5, self.training)
        rows, columns = x.crow_indices(), x.col_indices()
        values = F.dropout(x.values(), 0.5, self.training)
        return torch.sparse_csr_tensor(rows, columns, values, x.shape, check_invariants=False)


def _side(net: nn.Module, logits: Callable[[], Tensor], labels: Tensor, train: Tensor) -> Side:
    first, *others = _parameters_of_layers(net)
    decayed = {"params": first, "weight_decay": 5e-4}
    rest = {"params": [parameter for layer in others for parameter in layer]}
    adam = torch.optim.Adam([decayed, rest], lr=0.01)

    def epoch() -> None:
        net.train()
        adam.zero_grad()
        F.cross_entropy(logits()[train], labels[train]).backward()
        adam.step()

    def answer() -> list[Tensor]:
        net.eval()
        y = logits()
        loss = F.cross_entropy(y[train], labels[train])
        gradients = torch.autograd.grad(loss, _parameters_of_layers(net)[1])
        # PyG's weight is the transpose of ours, the bias has the same layout.
        bias = min(gradients, key=lambda gradient: gradient.dim())
        return [y.detach(), bias]

    return Side(epoch, answer)


def _parameters_of_layers(net: Any) -> list[list[nn.Parameter]]:
    """The parameters of each graph convolution, ours or PyG's."""
    return [
        list(layer.parameters())
        for layer in net.modules()
        if isinstance(layer, Conv) or type(layer).__name__ == "GCNConv"
    ]

"""What is compiled or exported is compared with what is not."""

from typing import Any

import torch
from torch import nn

import geodl as g
from geodl.testing import error, outcome
from tests.table import Row, rows

COMPILED = {
    "fft",
    "gft",
    "lattice",
    "mean",
    "polynomial",
    "regroup",
    "spmm",
    "sdpa",
    "linear",
    "banded",
    "edge_softmax",
    "segment",
    "blocks",
}


def compiled_rows(*verbs: str) -> dict[str, Row]:
    """The rows of the table whose fast path is compiled whole, of these verbs."""
    return {
        name: row
        for name, row in rows().items()
        if row.layer.verb in verbs and row.lowering in COMPILED and row.layer.on is None
    }


def random_signal(domain: g.Domain, channels: int, batch: int = 2) -> g.Signal:
    """Normal values from one seed."""
    generator = torch.Generator().manual_seed(0)
    return g.Signal(torch.randn(batch, domain.num_nodes, channels, generator=generator), domain)


def compiled(module: nn.Module) -> Any:
    """The module compiled without a break."""
    return torch.compile(module, fullgraph=True, backend="aot_eager")


def same_when_compiled(module: nn.Module, *signals: g.Signal) -> None:
    """Values and every gradient of the compiled module are those of the module."""
    wanted, gradients = outcome(module, *signals)
    found, ours = outcome(compiled(module), *signals)
    assert error(found, wanted) < 1e-6
    assert len(ours) == len(gradients)
    assert max(error(a, b) for a, b in zip(ours.values(), gradients.values(), strict=True)) < 1e-5

"""Attention on a complete or causal domain against the bare kernel, `nn.MultiheadAttention` and
PyG's `TransformerConv`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from geodl.bench.edge_softmax import against_pyg
from geodl.bench.harness import Case, Side, device, step
from geodl.domain import Chain, Complete, Domain
from geodl.interop import to_torch
from geodl.layer import Attention
from geodl.lowering import plan_for
from geodl.neighborhood import Neighborhood, all_pairs, past


@dataclass(frozen=True)
class Sizes:
    """Sequences, their length, channels, heads; and the length for PyG, which holds every pair's
    message in memory.
    """

    batch: int = 8
    length: int = 512
    channels: int = 256
    heads: int = 4
    pyg_length: int = 512


def cases(sizes: Sizes = Sizes()) -> Iterator[Case]:
    """The verb alone, the whole layer, and the same by edges."""
    shape = (
        f"{sizes.batch} x {sizes.length}, {sizes.heads} heads of {sizes.channels // sizes.heads}"
    )
    rules: dict[str, tuple[Neighborhood, Domain]] = {
        "complete": (all_pairs(), Complete(sizes.length)),
        "causal": (past(), Chain(sizes.length)),
    }
    for name, (rule, domain) in rules.items():
        layer = Attention(sizes.channels, rule, sizes.heads, on=domain).to(device())
        yield Case(
            f"attend {name}, {shape}", "F.scaled_dot_product_attention", *_bare(sizes, layer), 1.05
        )
        yield Case(f"Attention {name}, {shape}", "nn.MultiheadAttention", *_full(sizes, layer), 1.0)
    layer = Attention(sizes.channels, all_pairs(), sizes.heads, on=Complete(sizes.pyg_length)).to(
        device()
    )
    yield Case(
        f"Attention complete, 1 x {sizes.pyg_length}",
        "PyG TransformerConv",
        *against_pyg(layer),
        0.015,
    )


def _bare(sizes: Sizes, layer: Any) -> tuple[Side, Side]:
    shape = (sizes.batch, sizes.length, sizes.heads, layer.head_dim)
    q, k, v = (torch.randn(shape, device=device(), requires_grad=True) for _ in range(3))
    up = torch.randn(shape, device=device())
    plan = plan_for("attend", "auto", layer.rule, layer.on, None, q, layer.options)
    call = step(lambda: plan.lowering.run(plan.data, q, k, v, None, None, 0.0), [q, k, v], up)
    a, b, c = (t.detach().transpose(1, 2).contiguous().requires_grad_() for t in (q, k, v))
    causal = layer.rule == past()
    kernel = step(
        lambda: F.scaled_dot_product_attention(a, b, c, is_causal=causal),
        [a, b, c],
        up.transpose(1, 2).contiguous(),
    )
    return Side(call, call), Side(kernel, lambda: [t.transpose(1, 2) for t in kernel()])


def _full(sizes: Sizes, layer: Any) -> tuple[Side, Side]:
    twin: Any = to_torch(Attention.over(layer, all_pairs()))
    x = torch.randn(sizes.batch, sizes.length, sizes.channels, device=device(), requires_grad=True)
    up, causal = torch.randn_like(x), layer.rule == past()
    mask = (
        nn.Transformer.generate_square_subsequent_mask(sizes.length, device=device())
        if causal
        else None
    )

    def torch_layer() -> torch.Tensor:
        return twin(x, x, x, attn_mask=mask, is_causal=causal, need_weights=False)[0]

    ours, theirs = (
        step(f, [x, *m.parameters()], up)
        for f, m in ((lambda: layer(x), layer), (torch_layer, twin))
    )
    return Side(ours, lambda: ours()[:2]), Side(theirs, lambda: theirs()[:2])

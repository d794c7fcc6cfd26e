"""Attention on a complete or causal domain against the bare kernel, `nn.MultiheadAttention` and
PyG's `TransformerConv`.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.bench.edge_softmax import against_pyg
from geodl.bench.harness import Case, Side, heads_first, leaf, step
from geodl.bench.meter import CPU
from geodl.domain import Chain, Complete
from geodl.interop import to_torch
from geodl.layer import Attention
from geodl.lowering import Request, plan_for
from geodl.neighborhood import all_pairs, past


class Sizes(NamedTuple):
    """Sequences, their length, channels, heads; and the length for PyG, which holds every pair's
    message in memory.
    """

    batch: int = 8
    length: int = 512
    channels: int = 256
    heads: int = 4
    pyg_length: int = 512


USUAL = Sizes()


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """The verb alone, the whole layer, and the same by edges."""
    c, heads = sizes.channels, sizes.heads
    shape = f"{sizes.batch} x {sizes.length}, {heads} heads of {c // heads}"
    everyone = Attention(c, all_pairs(), heads, on=Complete(sizes.length)).to(device)
    causal = Attention(c, past(), heads, on=Chain(sizes.length)).to(device)
    for name, layer in (("complete", everyone), ("causal", causal)):
        bare = _bare(sizes, layer, name == "causal", device)
        yield Case(f"attend {name}, {shape}", "F.scaled_dot_product_attention", *bare, 1.05)
        full = _full(sizes, layer, name == "causal", device)
        yield Case(f"Attention {name}, {shape}", "nn.MultiheadAttention", *full, 1.0)
    layer = Attention(c, all_pairs(), heads, on=Complete(sizes.pyg_length)).to(device)
    name = f"Attention complete, 1 x {sizes.pyg_length}"
    yield Case(name, "PyG TransformerConv", *against_pyg(layer, device), 0.015)


def _bare(sizes: Sizes, layer: Any, causal: bool, device: torch.device) -> tuple[Side, Side]:
    shape = (sizes.batch, sizes.length, sizes.heads, layer.head_dim)
    q, k, v = (leaf(*shape, device=device) for _ in range(3))
    up = torch.randn(shape, device=device)
    plan = plan_for(Request("attend", "auto", layer.rule, layer.on, None, q, layer.options))
    call = step(lambda: plan.lowering.run(plan.data, q, k, v, None, None, 0.0, None), [q, k, v], up)
    a, b, c = (heads_first(t).requires_grad_() for t in (q, k, v))

    def torch_kernel() -> Tensor:
        return F.scaled_dot_product_attention(a, b, c, is_causal=causal)

    kernel = step(torch_kernel, [a, b, c], heads_first(up))
    return Side(call, call), Side(kernel, lambda: [t.transpose(1, 2) for t in kernel()])


def _full(sizes: Sizes, layer: Any, causal: bool, device: torch.device) -> tuple[Side, Side]:
    # The twin has no mask of its own: it is an argument of its call.
    twin: Any = to_torch(layer.over(all_pairs()))
    x = leaf(sizes.batch, sizes.length, sizes.channels, device=device)
    up, mask = torch.randn_like(x), None
    if causal:
        mask = nn.Transformer.generate_square_subsequent_mask(sizes.length, device=device)

    def torch_layer() -> Tensor:
        return twin(x, x, x, attn_mask=mask, is_causal=causal, need_weights=False)[0]

    ours = step(lambda: layer(x), [x, *layer.parameters()], up)
    theirs = step(torch_layer, [x, *twin.parameters()], up)
    return Side(ours, lambda: ours()[:2]), Side(theirs, lambda: theirs()[:2])

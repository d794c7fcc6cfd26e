"""A GPT against one written in plain torch, and decoding with cached keys and values against full
passes.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.bench.harness import Case, Side, step
from geodl.bench.meter import CPU
from geodl.models import generate, gpt
from geodl.signal import Signal


class Sizes(NamedTuple):
    """The GPT of a step: sequences, their length, symbols, channels, heads, blocks; then tokens
    read and tokens decoded.
    """

    batch: int = 12
    length: int = 64
    symbols: int = 65
    channels: int = 128
    heads: int = 4
    depth: int = 4
    read: int = 256
    decoded: int = 256


USUAL = Sizes()


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """A step of nanoGPT's setting for a CPU; a longer context decoded token by token."""
    shape = f"{sizes.depth} blocks, {sizes.channels} channels"
    name = f"GPT step, {shape}, {sizes.batch} x {sizes.length}"
    yield Case(name, "plain torch", *_step(sizes, device), 1.05)
    name = f"decode {sizes.decoded} tokens after {sizes.read}, {shape}"
    yield Case(name, "full passes", *_decoding(sizes, device), 1 / 3)


def _gpt(sizes: Sizes, context: int) -> Any:
    channels, heads, depth = sizes.channels, sizes.heads, sizes.depth
    return gpt(sizes.symbols, context=context, channels=channels, heads=heads, depth=depth)


def _step(sizes: Sizes, device: torch.device) -> tuple[Side, Side]:
    net, twin = _gpt(sizes, sizes.length), _Plain(sizes)
    with torch.no_grad():
        for theirs, ours in zip(twin.parameters(), net.parameters(), strict=True):
            theirs.copy_(ours)
    net.to(device)
    twin.to(device)
    ids = torch.randint(sizes.symbols, (sizes.batch, sizes.length + 1), device=device)
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].flatten()
    up = torch.ones((), device=device)

    def our_loss() -> Tensor:
        logits = net(Signal.tokens(inputs)).x
        return F.cross_entropy(logits.flatten(0, 1), targets)

    def their_loss() -> Tensor:
        return F.cross_entropy(twin(inputs).flatten(0, 1), targets)

    ours = step(our_loss, list(net.parameters()), up)
    theirs = step(their_loss, list(twin.parameters()), up)
    return Side(ours, ours), Side(theirs, theirs)


def _decoding(sizes: Sizes, device: torch.device) -> tuple[Side, Side]:
    net = _gpt(sizes, sizes.read + sizes.decoded).to(device).eval()
    start = torch.randint(sizes.symbols, (1, sizes.read), device=device)

    @torch.no_grad()
    def full() -> Tensor:
        ids = start
        for _ in range(sizes.decoded):
            likeliest = net(Signal.tokens(ids)).x[:, -1].argmax(-1, keepdim=True)
            ids = torch.cat((ids, likeliest), 1)
        return ids

    def cached() -> Tensor:
        return generate(net, start, sizes.decoded, temperature=0)

    return Side(cached, lambda: [cached().float()]), Side(full, lambda: [full().float()])


class _Plain(nn.Module):
    """The network as a user of torch writes it; its parameters in the order of ours."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.tokens = nn.Embedding(sizes.symbols, sizes.channels)
        self.positions = nn.Embedding(sizes.length, sizes.channels)
        blocks = [_PlainBlock(sizes.channels, sizes.heads) for _ in range(sizes.depth)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(sizes.channels, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.tokens.weight)


class _PlainBlock(nn.Module):
    """A block with the norm first."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.first = nn.LayerNorm(channels, bias=False)
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.out = nn.Linear(channels, channels, bias=False)
        self.second = nn.LayerNorm(channels, bias=False)
        self.wide = nn.Linear(channels, 4 * channels, bias=False)
        self.narrow = nn.Linear(4 * channels, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        parts = self.qkv(self.first(x)).split(c, 2)
        q, k, v = (part.view(b, t, self.heads, -1).transpose(1, 2) for part in parts)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
        return x + self.narrow(F.gelu(self.wide(self.second(x))))

"""A GPT against one written in plain torch, and decoding with cached keys and values against full
passes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.bench.harness import Case, Side, device, step
from geodl.models import generate, gpt
from geodl.signal import Signal


@dataclass(frozen=True)
class Sizes:
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


def cases(sizes: Sizes = Sizes()) -> Iterator[Case]:
    """A step of nanoGPT's setting for a CPU; a longer context decoded token by token."""
    shape = f"{sizes.depth} blocks, {sizes.channels} channels"
    yield Case(
        f"GPT step, {shape}, {sizes.batch} x {sizes.length}", "plain torch", *_step(sizes), 1.05
    )
    name = f"decode {sizes.decoded} tokens after {sizes.read}, {shape}"
    yield Case(name, "full passes", *_decoding(sizes), 1 / 3)


def _step(sizes: Sizes) -> tuple[Side, Side]:
    net: Any = gpt(
        sizes.symbols,
        context=sizes.length,
        channels=sizes.channels,
        heads=sizes.heads,
        depth=sizes.depth,
    )
    twin: Any = _Plain(sizes)
    with torch.no_grad():
        for theirs, ours in zip(twin.parameters(), net.parameters(), strict=True):
            theirs.copy_(ours)
    net.to(device())
    twin.to(device())
    ids = torch.randint(sizes.symbols, (sizes.batch, sizes.length + 1), device=device())
    inputs, targets, up = (
        ids[:, :-1].contiguous(),
        ids[:, 1:].flatten(),
        torch.ones((), device=device()),
    )
    ours = step(
        lambda: F.cross_entropy(net(Signal.tokens(inputs)).x.flatten(0, 1), targets),
        list(net.parameters()),
        up,
    )
    theirs = step(
        lambda: F.cross_entropy(twin(inputs).flatten(0, 1), targets), list(twin.parameters()), up
    )
    return Side(ours, ours), Side(theirs, theirs)


def _decoding(sizes: Sizes) -> tuple[Side, Side]:
    context = sizes.read + sizes.decoded
    net = (
        gpt(
            sizes.symbols,
            context=context,
            channels=sizes.channels,
            heads=sizes.heads,
            depth=sizes.depth,
        )
        .to(device())
        .eval()
    )
    start = torch.randint(sizes.symbols, (1, sizes.read), device=device())

    @torch.no_grad()
    def full() -> Tensor:
        ids = start
        for _ in range(sizes.decoded):
            ids = torch.cat((ids, net(Signal.tokens(ids)).x[:, -1].argmax(-1, keepdim=True)), 1)
        return ids

    def cached() -> Tensor:
        return generate(net, start, sizes.decoded, temperature=0)

    return Side(cached, lambda: [cached().float()]), Side(full, lambda: [full().float()])


class _Plain(nn.Module):
    """The network as a user of torch writes it; its parameters in the order of ours."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.tokens, self.places = (
            nn.Embedding(sizes.symbols, sizes.channels),
            nn.Embedding(sizes.length, sizes.channels),
        )
        self.blocks = nn.ModuleList(
            _PlainBlock(sizes.channels, sizes.heads) for _ in range(sizes.depth)
        )
        self.norm = nn.LayerNorm(sizes.channels, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.tokens.weight)


class _PlainBlock(nn.Module):
    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.first = nn.LayerNorm(channels, bias=False)
        self.read, self.write = (
            nn.Linear(channels, 3 * channels, bias=False),
            nn.Linear(channels, channels, bias=False),
        )
        self.second = nn.LayerNorm(channels, bias=False)
        self.wide, self.narrow = (
            nn.Linear(channels, 4 * channels, bias=False),
            nn.Linear(4 * channels, channels, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = (
            part.view(b, t, self.heads, -1).transpose(1, 2)
            for part in self.read(self.first(x)).split(c, 2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.write(y.transpose(1, 2).reshape(b, t, c))
        return x + self.narrow(F.gelu(self.wide(self.second(x))))

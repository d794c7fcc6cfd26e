"""Row 08: a Transformer is a GNN, the whole stack and not only attention."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from geodl import Chain, Complete, Sequential, Signal, SinusoidalPositions, past
from geodl.interop import from_torch, over, to_torch
from geodl.testing import error
from geodl.verify.base import (
    Row,
    above,
    as_leaves,
    count_edges,
    difference,
    equal,
    normal,
    randomised,
    row,
    signal,
)

CHANNELS, HEADS, HIDDEN, DEPTH = 8, 2, 12, 4
BOUND, APART = 1e-10, 1e-2
NORMS = ((False, "post-norm"), (True, "pre-norm"))
LAYERS: tuple[type[nn.Module], ...] = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
MASKS = {nn.TransformerEncoderLayer: "src_mask", nn.TransformerEncoder: "mask"}  # else "tgt_mask"
STACKS: tuple[type[nn.Module], ...] = (nn.TransformerEncoder, nn.TransformerDecoder, nn.Transformer)


def twin_of(kind: type[nn.Module], norm_first: bool) -> nn.Module:
    """A layer of torch's, a stack of four with a norm at the end, or two such stacks, with random
    parameters.
    """
    options: Any = {"dropout": 0.0, "batch_first": True, "norm_first": norm_first}
    encoder = nn.TransformerEncoderLayer(CHANNELS, HEADS, HIDDEN, activation="gelu", **options)
    decoder = nn.TransformerDecoderLayer(CHANNELS, HEADS, HIDDEN, **options)
    encoders = nn.TransformerEncoder(
        encoder, DEPTH, nn.LayerNorm(CHANNELS), enable_nested_tensor=False
    )
    decoders = nn.TransformerDecoder(decoder, DEPTH, nn.LayerNorm(CHANNELS))
    stacks: Any = {"custom_encoder": encoders, "custom_decoder": decoders, "batch_first": True}
    both = nn.Transformer(CHANNELS, HEADS, **stacks)
    modules: list[nn.Module] = [encoder, decoder, encoders, decoders, both]
    of_kind = {type(module): module for module in modules}
    twin = randomised(of_kind[kind], normal(81), 0.4)
    for part in twin.modules():
        if isinstance(part, nn.LayerNorm):
            # With weights around 0, norms of norms would leave little of what differs between the
            # nodes, and errors would not show.
            part.weight.data += 1
    return twin


def peer(
    twin: nn.Module, layer: nn.Module, causal: bool = False, hidden: Tensor | None = None
) -> Callable[..., Tensor]:
    """torch's module with the layer's own parameters. They are found by their values, which are all
    different.

    Args:
        twin: the module that the layer was made of, or that was made of it.
        layer: ours.
        causal: with a mask that hides what comes later.
        hidden: a padding mask, True where there is no node.
    """
    named: dict[str, Tensor] = {}
    for name, wanted in twin.named_parameters():
        (named[name],) = [p for p in layer.parameters() if torch.equal(p, wanted)]

    def run(target: Tensor, *source: Tensor) -> Tensor:
        n = target.shape[1]
        mask = torch.ones(n, n).triu(1).bool() if causal else None
        options = {MASKS.get(type(twin), "tgt_mask"): mask}
        if isinstance(twin, nn.TransformerEncoder):
            options["src_key_padding_mask"] = hidden
        inputs = (target, *source)
        if isinstance(twin, nn.Transformer):
            inputs = (*source, target)
        return functional_call(twin, named, inputs, options)

    return run


def signals(twin: nn.Module) -> list[Signal]:
    """The arguments of a module: a target, and a source where it has a decoder."""
    target, source = signal(Chain(6), CHANNELS), signal(Chain(5), CHANNELS)
    return [target] if type(twin) in MASKS else [target, source]


def in_words(kind: type[nn.Module], norm: str) -> str:
    """A module of torch's, as claims name it."""
    words = f"nn.{kind.__name__}, {norm}"
    return f"{words}, {DEPTH} layers" if kind in STACKS else words


def with_and_without_mask(layer: nn.Module) -> list[tuple[str, bool, nn.Module]]:
    """The module, and the same module on the past: the end of a claim, whether it is causal, and
    the module.
    """
    return [("", False, layer), (", causal", True, over(layer, past()))]


def blocks() -> Iterator[Row]:
    """Layers, stacks of four, and both stacks together, with and without a causal mask."""
    for norm_first, norm in NORMS:
        for kind in (*LAYERS, *STACKS):
            twin = twin_of(kind, norm_first)
            for end, causal, module in with_and_without_mask(from_torch(twin)):
                claim = f"08 {in_words(kind, norm)}{end}"
                yield equal(claim, module, signals(twin), peer(twin, module, causal), BOUND)


def padding() -> Iterator[Row]:
    """Sequences of different lengths: a padding mask, or no nodes there."""
    exists = torch.arange(7) < torch.tensor([5, 2, 7])[:, None]
    ragged = Signal.sequence(normal(82)(3, 7, CHANNELS), exists)
    for norm_first, norm in NORMS:
        twin = twin_of(nn.TransformerEncoder, norm_first)
        for end, causal, module in with_and_without_mask(from_torch(twin)):
            run = peer(twin, module, causal, ~exists)

            def padded(x: Tensor, run: Callable[..., Tensor] = run) -> Tensor:
                rows = x.new_zeros(*exists.shape, CHANNELS).index_put((exists,), x[0])
                return run(rows)[exists][None]

            claim = f"08 padding = missing nodes, {norm}, {DEPTH} layers{end}"
            yield equal(claim, module, [ragged], padded, BOUND)


def shuffled(module: nn.Module, inputs: Sequence[Signal]) -> tuple[Tensor, Tensor]:
    """The output for signals in another order, and the output in that order."""
    moved, orders = [], []
    for s in inputs:
        order = torch.randperm(s.domain.num_nodes, generator=torch.Generator().manual_seed(83))
        moved.append(Signal(s.x[:, order], s.domain))
        orders.append(order)
    return module(*moved).x, module(*inputs).x[:, orders[0]]


def permutations() -> Iterator[Row]:
    """A Transformer without positions and without a causal mask is equivariant under permutations;
    with either it is not.
    """
    for norm_first, norm in NORMS:
        for kind, others in ((nn.TransformerEncoder, ()), (nn.TransformerDecoder, (Complete(5),))):
            layer = from_torch(twin_of(kind, norm_first))
            claim = f"08 nodes in another order, {in_words(kind, norm)}"
            inputs = as_leaves([signal(domain, CHANNELS) for domain in (Complete(6), *others)])
            leaves = [*(s.x for s in inputs), *layer.parameters()]
            differences = [difference(*shuffled(layer, inputs), leaves)]
            where = count_edges(layer, *inputs)
            yield row(f"{claim}: the answer in that order", where, differences, BOUND)
            ordered = [signal(domain, CHANNELS) for domain in (Chain(6), *others)]
            with_positions = Sequential(SinusoidalPositions(CHANNELS), layer)
            for reason, module in (
                ("positions", with_positions),
                ("a causal mask", over(layer, past())),
            ):
                apart = error(*shuffled(module, ordered))
                where = count_edges(module, *ordered)
                yield above(f"{claim}, {reason}: off by", where, apart, APART)


def trained(module: nn.Module, *inputs: Any) -> nn.Module:
    """A module after a few steps of training."""
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    for _ in range(4):
        optimizer.zero_grad()
        output = module(*inputs)
        y = output.x if isinstance(output, Signal) else output
        F.mse_loss(y, normal(84)(*y.shape)).backward()
        optimizer.step()
    return module


def swapped() -> Iterator[Row]:
    """Weights trained on one side compute the same on the other."""
    for norm_first, norm in NORMS:
        for kind in STACKS:
            twin, words = twin_of(kind, norm_first), in_words(kind, norm)
            inputs = signals(twin)
            x = [s.x for s in inputs]
            if kind is nn.Transformer:
                x.reverse()
            trained(twin, *x)
            layer = from_torch(twin)
            claim = f"08 trained as {words}, taken from torch"
            yield equal(claim, layer, inputs, peer(twin, layer), BOUND)
            trained(layer, *inputs)
            claim = f"08 trained here, given to {words}"
            yield equal(claim, layer, inputs, peer(to_torch(layer), layer), BOUND)


CLAIMS = (blocks, padding, permutations, swapped)

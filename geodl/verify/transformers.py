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
STACKS: tuple[type[nn.Module], ...] = (nn.TransformerEncoder, nn.TransformerDecoder, nn.Transformer)


def twin_of(kind: type[nn.Module], norm_first: bool) -> nn.Module:
    """A layer, a stack of four with a last norm, or two such stacks, of torch's, with random
    parameters.
    """
    options: Any = {"dropout": 0.0, "batch_first": True, "norm_first": norm_first}
    encoder = nn.TransformerEncoderLayer(CHANNELS, HEADS, HIDDEN, activation="gelu", **options)
    decoder = nn.TransformerDecoderLayer(CHANNELS, HEADS, HIDDEN, **options)
    encoders = nn.TransformerEncoder(
        encoder, DEPTH, nn.LayerNorm(CHANNELS), enable_nested_tensor=False
    )
    decoders = nn.TransformerDecoder(decoder, DEPTH, nn.LayerNorm(CHANNELS))
    both = nn.Transformer(
        CHANNELS, HEADS, custom_encoder=encoders, custom_decoder=decoders, batch_first=True
    )
    made: dict[type[nn.Module], nn.Module] = {
        type(module): module for module in (encoder, decoder, encoders, decoders, both)
    }
    twin = randomised(made[kind], normal(81), 0.4)
    for part in twin.modules():
        if isinstance(part, nn.LayerNorm):
            part.weight.data += (
                1  # about 0, norms of norms leave little of what differs between the nodes
            )
    return twin


def peer(
    twin: nn.Module, layer: nn.Module, causal: bool = False, hidden: Tensor | None = None
) -> Callable[..., Tensor]:
    """torch's module with the layer's own parameters, found by their values: each has exactly one
    of its value.

    Args:
        twin: the module that the layer was made of, or that was made of it.
        layer: ours.
        causal: with a mask that hides what comes later.
        hidden: a padding mask, True where there is no node.
    """
    ours = list(layer.parameters())
    found = {
        name: [p for p in ours if torch.equal(p, wanted)]
        for name, wanted in twin.named_parameters()
    }
    named: dict[str, Tensor] = {name: p for name, (p,) in found.items()}

    def run(target: Tensor, *source: Tensor) -> Tensor:
        n = target.shape[1]
        mask = torch.ones(n, n).triu(1).bool() if causal else None
        if isinstance(twin, nn.TransformerEncoder):
            options = {"mask": mask, "src_key_padding_mask": hidden}
        else:
            options = {
                "src_mask" if isinstance(twin, nn.TransformerEncoderLayer) else "tgt_mask": mask
            }
        inputs = (*source, target) if isinstance(twin, nn.Transformer) else (target, *source)
        return functional_call(twin, named, inputs, options)

    return run


def signals(twin: nn.Module) -> list[Signal]:
    """What a module hears: a target, and a source where it has a decoder."""
    heard = isinstance(twin, nn.TransformerDecoderLayer | nn.TransformerDecoder | nn.Transformer)
    return [signal(Chain(6), CHANNELS), *[signal(Chain(5), CHANNELS)] * heard]


def blocks() -> Iterator[Row]:
    """Layers, stacks of four, and both stacks together, with and without a causal mask."""
    for norm_first, norm in NORMS:
        for kind in (*LAYERS, *STACKS):
            twin, depth = twin_of(kind, norm_first), f", {DEPTH} layers" * (kind in STACKS)
            layer = from_torch(twin)
            for causal, module in ((False, layer), (True, over(layer, past()))):
                claim = f"08 nn.{kind.__name__}, {norm}{depth}" + (", causal" if causal else "")
                yield equal(claim, module, signals(twin), peer(twin, module, causal), BOUND)


def padding() -> Iterator[Row]:
    """Sequences of different lengths: a padding mask, or no nodes there."""
    lengths = torch.tensor([5, 2, 7])
    exists = torch.arange(7) < lengths[:, None]
    for norm_first, norm in NORMS:
        twin = twin_of(nn.TransformerEncoder, norm_first)
        layer = from_torch(twin)
        for causal, module in ((False, layer), (True, over(layer, past()))):
            run, ragged = (
                peer(twin, module, causal, ~exists),
                Signal.sequence(normal(82)(3, 7, CHANNELS), exists),
            )

            def padded(x: Tensor, run: Callable[..., Tensor] = run) -> Tensor:
                rows = x.new_zeros(*exists.shape, CHANNELS).index_put((exists,), x[0])
                return run(rows)[exists][None]

            claim = f"08 padding = missing nodes, {norm}, {DEPTH} layers" + (
                ", causal" if causal else ""
            )
            yield equal(claim, module, [ragged], padded, BOUND)


def shuffled(module: nn.Module, heard: Sequence[Signal]) -> tuple[Tensor, Tensor]:
    """The answer to signals in another order, and the answer in that order."""
    orders = [
        torch.randperm(s.domain.num_nodes, generator=torch.Generator().manual_seed(83))
        for s in heard
    ]
    moved = [Signal(s.x[:, order], s.domain) for s, order in zip(heard, orders, strict=True)]
    return module(*moved).x, module(*heard).x[:, orders[0]]


def permutations() -> Iterator[Row]:
    """Without positions and without a causal mask a Transformer does not know who stands where;
    with either it does.
    """
    for norm_first, norm in NORMS:
        for kind, others in ((nn.TransformerEncoder, ()), (nn.TransformerDecoder, (Complete(5),))):
            layer, words = (
                from_torch(twin_of(kind, norm_first)),
                f"nn.{kind.__name__}, {norm}, {DEPTH} layers",
            )
            heard = as_leaves([signal(domain, CHANNELS) for domain in (Complete(6), *others)])
            differences = [
                difference(*shuffled(layer, heard), [*(s.x for s in heard), *layer.parameters()])
            ]
            yield row(
                f"08 nodes in another order, {words}: the answer in that order",
                count_edges(layer, *heard),
                differences,
                BOUND,
            )
            ordered = [signal(domain, CHANNELS) for domain in (Chain(6), *others)]
            for reason, module in (
                ("positions", Sequential(SinusoidalPositions(CHANNELS), layer)),
                ("a causal mask", over(layer, past())),
            ):
                claim = f"08 nodes in another order, {words}, {reason}: off by"
                yield above(
                    claim, count_edges(module, *ordered), error(*shuffled(module, ordered)), APART
                )


def trained(module: nn.Module, *given: Any) -> nn.Module:
    """A module after a few steps of training."""
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    for _ in range(4):
        optimizer.zero_grad()
        y = module(*given)
        y = y.x if isinstance(y, Signal) else y
        F.mse_loss(y, normal(84)(*y.shape)).backward()
        optimizer.step()
    return module


def swapped() -> Iterator[Row]:
    """Weights trained on one side compute the same on the other."""
    for norm_first, norm in NORMS:
        for kind in STACKS:
            twin, words = twin_of(kind, norm_first), f"nn.{kind.__name__}, {norm}, {DEPTH} layers"
            heard = signals(twin)
            rows = [s.x for s in heard]
            trained(twin, *(reversed(rows) if isinstance(twin, nn.Transformer) else rows))
            layer = from_torch(twin)
            yield equal(
                f"08 trained as {words}, taken from torch", layer, heard, peer(twin, layer), BOUND
            )
            trained(layer, *heard)
            yield equal(
                f"08 trained here, given to {words}",
                layer,
                heard,
                peer(to_torch(layer), layer),
                BOUND,
            )


CLAIMS = (blocks, padding, permutations, swapped)

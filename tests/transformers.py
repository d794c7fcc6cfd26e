"""Transformers of torch.nn, and how they and their conversions are called with the same target and
source.
"""

import torch
from torch import nn

import geodl as g
from geodl.interop import from_torch, over

ENCODERS = (nn.TransformerEncoderLayer, nn.TransformerEncoder)
TARGET, SOURCE, CHANNELS = 5, 7, 8
LATER = torch.ones(TARGET, TARGET).triu(1).bool()
LENGTHS = (
    torch.arange(TARGET) < torch.tensor([[5], [2], [3]]),
    torch.arange(SOURCE) < torch.tensor([[1], [7], [4]]),
)


def layer_of(kind=nn.TransformerEncoderLayer, **options):
    return kind(CHANNELS, 2, 12, **{"dropout": 0.25, **options})


def stack_of(kind, depth=4, norm=True, **options):
    """A stack whose layers are drawn each for itself."""
    last = nn.LayerNorm(CHANNELS) if norm else None
    if kind is nn.TransformerEncoder:
        return nn.TransformerEncoder(layer_of(**options), depth, last, enable_nested_tensor=False)
    return nn.TransformerDecoder(layer_of(nn.TransformerDecoderLayer, **options), depth, last)


def whole_of(batch_first=False, **options):
    encoder, decoder = (
        stack_of(kind, 2, batch_first=batch_first, **options)
        for kind in (nn.TransformerEncoder, nn.TransformerDecoder)
    )
    return nn.Transformer(
        CHANNELS, 2, custom_encoder=encoder, custom_decoder=decoder, batch_first=batch_first
    )


def rows(twin, x):
    """Batch first, or what the twin takes in its place; the other way too."""
    return (
        x
        if next(m.batch_first for m in twin.modules() if isinstance(m, nn.MultiheadAttention))
        else x.transpose(0, 1)
    )


def of_torch(causal=False, lengths=None):
    """`call(twin, x)`: x are target and source, one after the other, so that both have
    gradients.
    """
    mask = LATER if causal else None
    hidden, unread = (None, None) if lengths is None else (~part for part in lengths)

    def call(twin, x):
        target, source = (rows(twin, part) for part in x.split((TARGET, SOURCE), dim=1))
        if isinstance(twin, nn.TransformerEncoderLayer):
            y = twin(target, src_mask=mask, src_key_padding_mask=hidden)
        elif isinstance(twin, nn.TransformerEncoder):
            y = twin(target, mask=mask, src_key_padding_mask=hidden)
        else:
            inputs, named = (target, source), {}
            if isinstance(twin, nn.Transformer):
                inputs, named = (source, target), {"src_key_padding_mask": unread}
            named |= {
                "tgt_mask": mask,
                "tgt_key_padding_mask": hidden,
                "memory_key_padding_mask": unread,
            }
            y = twin(*inputs, **named)
        return rows(twin, y) if lengths is None else rows(twin, y)[lengths[0]][None]

    return call


def of_geodl(twin, lengths=(None, None)):
    """`hear(layer, x)`: the same of the layer."""

    def hear(layer, x):
        parts = zip(x.split((TARGET, SOURCE), dim=1), lengths, strict=True)
        signals = [g.Signal.sequence(part, mask) for part, mask in parts]
        return layer(*signals[: 1 if isinstance(twin, ENCODERS) else 2]).x

    return hear


def values(batch=3):
    return torch.randn(batch, TARGET + SOURCE, CHANNELS, dtype=torch.float64)


def causal_of(module):
    return over(from_torch(module), g.past())

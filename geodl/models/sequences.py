"""Recurrent and convolutional models of sequences, in the four shapes: n to n, n to 1, 1 to n, n to
m.
"""

from collections.abc import Iterable

from torch import nn

from geodl.domain.base import positive
from geodl.layer import (
    Attention,
    BatchNorm,
    Concat,
    Conv,
    Cross,
    Dropout,
    Embedding,
    Pool,
    Readout,
    Recurrent,
    Residual,
    Sequential,
)
from geodl.models.encoder_decoder import EncoderDecoder, FinalState, FromState, state_widths
from geodl.neighborhood import all_pairs, previous, window


def char_rnn(
    symbols: int,
    *,
    channels: int = 128,
    hidden: int = 256,
    depth: int = 1,
    cell: str = "lstm",
    dropout: float = 0.0,
) -> Sequential:
    """A recurrent language model: tokens `[B, T, 1]` to logits `[B, T, V]` of the next.

    Dropout stands between layers, never inside the recurrence (Zaremba et al., "Recurrent Neural
    Network Regularization", 2014); text by characters as in Karpathy, "The Unreasonable
    Effectiveness of Recurrent Neural Networks", 2015.

    Args:
        symbols: V.
        channels: of the embedding.
        hidden: channels of each layer's state.
        depth: number of recurrent layers.
        cell: "lstm", "gru", "rnn_tanh" or "rnn_relu".
        dropout: before every recurrent layer and before the head.

    >>> import torch, geodl as g
    >>> char_rnn(65, depth=2)(g.Signal.tokens(torch.zeros(2, 10, dtype=torch.long))).x.shape
    torch.Size([2, 10, 65])
    """
    layers = _recurrent(channels, hidden, depth, cell, dropout)
    return Sequential(
        Embedding(symbols, channels), *layers, Dropout(dropout), nn.Linear(hidden, symbols)
    )


def tcn(
    symbols: int, *, channels: int = 128, depth: int = 5, size: int = 3, dropout: float = 0.0
) -> Sequential:
    """A temporal convolutional language model: tokens `[B, T, 1]` to logits `[B, T, V]` of the
    next.

    Block k has two causal windows with dilation 2^k around a shortcut, so a token hears the last
    `1 + 2 (size - 1) (2^depth - 1)`. (Bai et al., "An Empirical Evaluation of Generic Convolutional
    and Recurrent Networks for Sequence Modeling", 2018, without their weight norm.)

    Args:
        symbols: V.
        channels: of the embedding and of every layer.
        depth: number of blocks.
        size: of the windows.
        dropout: after each convolution.

    >>> import torch, geodl as g
    >>> tcn(65)(g.Signal.tokens(torch.zeros(2, 10, dtype=torch.long))).x.shape
    torch.Size([2, 10, 65])
    """
    positive(f"tcn(depth={depth!r})", depth)
    blocks: list[nn.Module] = []
    for k in range(depth):
        rule = window(size, axes=1, dilation=2**k, padding="causal")
        once, twice = (
            [Conv(channels, channels, rule), nn.ReLU(), Dropout(dropout)] for _ in range(2)
        )
        blocks += [Residual(*once, *twice), nn.ReLU()]
    return Sequential(Embedding(symbols, channels), *blocks, nn.Linear(channels, symbols))


def tagger(
    symbols: int,
    classes: int,
    *,
    channels: int = 64,
    hidden: int = 128,
    depth: int = 1,
    cell: str = "lstm",
    dropout: float = 0.0,
) -> Sequential:
    """n to n: tokens `[B, T, 1]` to logits `[B, T, classes]` of each token's class, read in both
    directions.

    (Graves and Schmidhuber, "Framewise Phoneme Classification with Bidirectional LSTM", 2005.)

    Args:
        symbols: how many different tokens there are.
        classes: of each token.
        channels: of the embedding.
        hidden: channels of the state in each direction.
        depth: number of recurrent layers, each in both directions.
        cell: "lstm", "gru", "rnn_tanh" or "rnn_relu".
        dropout: before every recurrent layer and before the head.

    >>> import torch, geodl as g
    >>> tagger(65, 2)(g.Signal.tokens(torch.zeros(2, 10, dtype=torch.long))).x.shape
    torch.Size([2, 10, 2])
    """
    positive("a tagger", classes)
    layers = _both_ways(channels, hidden, depth, cell, dropout)
    return Sequential(
        Embedding(symbols, channels), *layers, Dropout(dropout), nn.Linear(2 * hidden, classes)
    )


def sequence_classifier(
    symbols: int,
    classes: int,
    *,
    channels: int = 64,
    hidden: int = 128,
    cell: str = "gru",
    dropout: float = 0.0,
) -> Sequential:
    """n to 1: tokens `[B, T, 1]` to logits `[B, 1, classes]`; ragged ones, on a Batch of D chains,
    to `[1, D, classes]`.

    It reads the last states of both directions, where each sequence ends: padding does not exist.

    Args:
        symbols: how many different tokens there are.
        classes: of a sequence.
        channels: of the embedding.
        hidden: channels of the state in each direction.
        cell: "lstm" (of which it reads h and c), "gru", "rnn_tanh" or "rnn_relu".
        dropout: of the embedded tokens and of the states.

    >>> import torch, geodl as g
    >>> mask = torch.tensor([[True, True, True], [True, False, False]])
    >>> tokens = g.Signal.tokens(torch.zeros(2, 3, dtype=torch.long), mask)
    >>> sequence_classifier(65, 2)(tokens).x.shape
    torch.Size([1, 2, 2])
    """
    positive("a classifier of sequences", classes)
    directions = _directions(channels, hidden, cell)
    ends, head = map(FinalState, directions), nn.Linear(_state_channels(directions), classes)
    return Sequential(
        Embedding(symbols, channels), Dropout(dropout), Concat(*ends), Dropout(dropout), head
    )


def captioner(
    symbols: int,
    *,
    in_channels: int = 1,
    channels: int = 32,
    hidden: int = 128,
    depth: int = 1,
    cell: str = "gru",
    dropout: float = 0.0,
) -> EncoderDecoder:
    """1 to n: `model(tokens, image)` gives logits `[B, T, V]` of the next token, said of the image.

    A small CNN reads the image, its mean gives the state in which a recurrent network begins
    (Vinyals et al., "Show and Tell", 2015; the state from a mean as in Xu et al., "Show, Attend and
    Tell", 2015, without their attention).

    Args:
        symbols: V.
        in_channels: of the image, of any size from 4 x 4 on.
        channels: of the first convolution, twice as many of the others; and of the embedding.
        hidden: channels of each layer's state.
        depth: number of recurrent layers.
        cell: "lstm", "gru", "rnn_tanh" or "rnn_relu".
        dropout: before every recurrent layer and before the head.

    >>> import torch, geodl as g
    >>> tokens = g.Signal.tokens(torch.zeros(2, 6, dtype=torch.long))
    >>> image = g.Signal.image(torch.zeros(2, 1, 28, 28))
    >>> captioner(20)(tokens, image).x.shape
    torch.Size([2, 6, 20])
    """
    wide = 2 * channels
    halves = [
        [*_seen(*widths), Pool(window(2, stride=2))]
        for widths in ((in_channels, channels), (channels, wide))
    ]
    encoder = Sequential(*halves[0], *halves[1], *_seen(wide, wide))
    begun = _begun_in_mean(wide, _recurrent(channels, hidden, depth, cell, dropout))
    return EncoderDecoder(encoder, _writer(symbols, channels, hidden, dropout, begun))


def seq2seq(
    source_symbols: int,
    target_symbols: int,
    *,
    channels: int = 64,
    hidden: int = 128,
    depth: int = 1,
    cell: str = "lstm",
    dropout: float = 0.0,
) -> EncoderDecoder:
    """n to m: `model(target, source)` gives logits `[B, T, V]`; the encoder's last state begins the
    decoder.

    (Sutskever et al., "Sequence to Sequence Learning with Neural Networks", 2014, who feed the
    source in reverse; here it is read as it stands.)

    Args:
        source_symbols: how many different tokens the source has.
        target_symbols: V, how many the target has.
        channels: of both embeddings.
        hidden: channels of each layer's state.
        depth: recurrent layers of the encoder, and of the decoder.
        cell: "lstm", "gru", "rnn_tanh" or "rnn_relu".
        dropout: before every recurrent layer and before the head.

    >>> import torch, geodl as g
    >>> target, source = (g.Signal.tokens(torch.zeros(2, n, dtype=torch.long)) for n in (5, 7))
    >>> seq2seq(10, 12)(target, source).x.shape
    torch.Size([2, 5, 12])
    """
    reading, writing = (_recurrent(channels, hidden, depth, cell, dropout) for _ in range(2))
    encoder = Sequential(Embedding(source_symbols, channels), FinalState(*reading))
    return EncoderDecoder(
        encoder, _writer(target_symbols, channels, hidden, dropout, FromState(*writing))
    )


def seq2seq_attention(
    source_symbols: int,
    target_symbols: int,
    *,
    channels: int = 64,
    hidden: int = 128,
    depth: int = 1,
    cell: str = "gru",
    dropout: float = 0.0,
) -> EncoderDecoder:
    """n to m: :func:`seq2seq` whose decoder attends to all of the encoder's outputs, with additive
    scores.

    The encoder reads in both directions; the mean of its outputs gives the state in which the
    decoder begins (Sennrich et al., "Nematus", 2017). (Bahdanau et al., "Neural Machine Translation
    by Jointly Learning to Align and Translate", 2015.) Each state attends once it has read its
    token, and what it heard goes to the head, not back into the recurrence: so all tokens are
    trained at once (Luong et al., "Effective Approaches to Attention-based Neural Machine
    Translation", 2015).

    Args:
        source_symbols: how many different tokens the source has.
        target_symbols: V, how many the target has.
        channels: of both embeddings.
        hidden: channels of the decoder's states, and of the encoder's in each direction.
        depth: recurrent layers of the encoder, and of the decoder.
        cell: "lstm", "gru", "rnn_tanh" or "rnn_relu".
        dropout: before every recurrent layer and before the head.

    >>> import torch, geodl as g
    >>> target, source = (g.Signal.tokens(torch.zeros(2, n, dtype=torch.long)) for n in (5, 7))
    >>> seq2seq_attention(10, 12)(target, source).x.shape
    torch.Size([2, 5, 12])
    """
    reading, project = (
        _both_ways(channels, hidden, depth, cell, dropout),
        nn.Linear(2 * hidden, hidden),
    )
    begun = _begun_in_mean(hidden, _recurrent(channels, hidden, depth, cell, dropout))
    asking = Cross(Attention(hidden, all_pairs(), heads=1, score="additive"))
    answer = (Concat(nn.Identity(), asking), nn.Linear(2 * hidden, hidden), nn.Tanh())
    encoder = Sequential(Embedding(source_symbols, channels), *reading, project)
    return EncoderDecoder(
        encoder, _writer(target_symbols, channels, hidden, dropout, begun, *answer)
    )


def _recurrent(
    channels: int, hidden: int, depth: int, cell: str, dropout: float
) -> list[nn.Module]:
    """Layers that run forward, each behind a dropout."""
    positive(f"a recurrent network of depth {depth!r}", depth)
    layers = [
        (Dropout(dropout), Recurrent(hidden if k else channels, hidden, cell)) for k in range(depth)
    ]
    return [part for layer in layers for part in layer]


def _both_ways(
    channels: int, hidden: int, depth: int, cell: str, dropout: float
) -> list[nn.Module]:
    """Layers that run in both directions, each behind a dropout."""
    positive(f"a recurrent network of depth {depth!r}", depth)
    widths = [2 * hidden if k else channels for k in range(depth)]
    return [
        part
        for width in widths
        for part in (Dropout(dropout), Concat(*_directions(width, hidden, cell)))
    ]


def _directions(channels: int, hidden: int, cell: str) -> list[Recurrent]:
    """A layer that runs forward, and one that runs backwards."""
    return [
        Recurrent(channels, hidden, cell, rule=rule) for rule in (previous(), previous().reverse())
    ]


def _begun_in_mean(heard: int, layers: list[nn.Module]) -> FromState:
    """Layers that begin in a state read from the mean of what they hear."""
    return FromState(
        *layers, reader=Sequential(Readout(), nn.Linear(heard, _state_channels(layers)), nn.Tanh())
    )


def _state_channels(layers: Iterable[nn.Module]) -> int:
    return sum(map(sum, state_widths(*layers)))


def _seen(channels: int, wide: int) -> list[nn.Module]:
    """A 3x3 convolution, normalised (so that a bias would be lost) and rectified."""
    return [Conv(channels, wide, window(3), bias=False), BatchNorm(wide), nn.ReLU()]


def _writer(
    symbols: int, channels: int, hidden: int, dropout: float, *layers: nn.Module
) -> Sequential:
    """Tokens to logits of the next."""
    return Sequential(
        Embedding(symbols, channels), *layers, Dropout(dropout), nn.Linear(hidden, symbols)
    )

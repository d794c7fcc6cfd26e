"""Recurrent and convolutional models of sequences in the four shapes: n to n, n to 1, 1 to n and
n to m.
"""

from collections.abc import Iterable

from torch import nn

from geodl.errors import positive
from geodl.layer import (
    Attention,
    BatchNorm,
    Concat,
    Conv,
    Cross,
    Dropout,
    Embedding,
    EncoderDecoder,
    FinalState,
    FromState,
    Pool,
    Readout,
    Recurrent,
    Residual,
    Sequential,
)
from geodl.layer.encoder_decoder import state_widths
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
    """A recurrent language model: tokens `[B, T, 1]` to logits `[B, T, V]` of the next token.

    Dropout acts between layers, never inside the recurrence (Zaremba et al., "Recurrent Neural
    Network Regularization", 2014). For text by characters see Karpathy, "The Unreasonable
    Effectiveness of Recurrent Neural Networks", 2015.

    Args:
        symbols: V, size of the vocabulary.
        channels: channels of the embedding.
        hidden: channels of each layer's state.
        depth: number of recurrent layers.
        cell: "lstm", "gru", "rnn_tanh" or "rnn_relu".
        dropout: probability of dropout before every recurrent layer and before the head.

    >>> import torch, geodl as g
    >>> char_rnn(65, depth=2)(g.Signal.tokens(torch.zeros(2, 10, dtype=torch.long))).x.shape
    torch.Size([2, 10, 65])
    """
    layers = _forward_layers(channels, hidden, depth, cell, dropout)
    return _language_model(symbols, channels, hidden, dropout, *layers)


def tcn(
    symbols: int, *, channels: int = 128, depth: int = 5, size: int = 3, dropout: float = 0.0
) -> Sequential:
    """A temporal convolutional language model: tokens `[B, T, 1]` to logits `[B, T, V]` of the next
    token.

    Block k has a shortcut and two causal convolutions with dilation 2^k, so that logits depend on
    the last `1 + 2 (size - 1) (2^depth - 1)` tokens. (Bai et al., "An Empirical Evaluation of
    Generic Convolutional and Recurrent Networks for Sequence Modeling", 2018, without their weight
    norm.)

    Args:
        symbols: V, size of the vocabulary.
        channels: channels of the embedding and of every layer.
        depth: number of blocks.
        size: number of tokens in each window.
        dropout: probability of dropout after each convolution.

    >>> import torch, geodl as g
    >>> tcn(65)(g.Signal.tokens(torch.zeros(2, 10, dtype=torch.long))).x.shape
    torch.Size([2, 10, 65])
    """
    depth = positive(f"tcn(depth={depth!r})", depth)
    blocks: list[nn.Module] = []
    for k in range(depth):
        rule = window(size, axes=1, dilation=2**k, padding="causal")
        inner: list[nn.Module] = []
        for _ in range(2):
            inner += [Conv(channels, channels, rule), nn.ReLU(), Dropout(dropout)]
        blocks += [Residual(*inner), nn.ReLU()]
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
    """n to n: tokens `[B, T, 1]` to logits `[B, T, classes]` of the class of each token, by
    bidirectional recurrence.

    (Graves and Schmidhuber, "Framewise Phoneme Classification with Bidirectional LSTM", 2005.)

    Args:
        symbols: size of the vocabulary.
        classes: number of classes of a token.
        channels: channels of the embedding.
        hidden: channels of the state in each direction.
        depth: number of recurrent layers, each in both directions.
        cell: "lstm", "gru", "rnn_tanh" or "rnn_relu".
        dropout: probability of dropout before every recurrent layer and before the head.

    >>> import torch, geodl as g
    >>> tagger(65, 2)(g.Signal.tokens(torch.zeros(2, 10, dtype=torch.long))).x.shape
    torch.Size([2, 10, 2])
    """
    classes = positive("a tagger", classes)
    layers = _bidirectional_layers(channels, hidden, depth, cell, dropout)
    embedding, head = Embedding(symbols, channels), nn.Linear(2 * hidden, classes)
    return Sequential(embedding, *layers, Dropout(dropout), head)


def sequence_classifier(
    symbols: int,
    classes: int,
    *,
    channels: int = 64,
    hidden: int = 128,
    cell: str = "gru",
    dropout: float = 0.0,
) -> Sequential:
    """n to 1: tokens `[B, T, 1]` to logits `[B, 1, classes]`; ragged sequences, a Batch of D
    chains, to `[1, D, classes]`.

    A linear layer reads the final states of both directions, taken where each sequence ends: there
    is no padding.

    Args:
        symbols: size of the vocabulary.
        classes: number of classes of a sequence.
        channels: channels of the embedding.
        hidden: channels of the state in each direction.
        cell: "lstm" (both h and c are read), "gru", "rnn_tanh" or "rnn_relu".
        dropout: probability of dropout on the embedded tokens and on the states.

    >>> import torch, geodl as g
    >>> mask = torch.tensor([[True, True, True], [True, False, False]])
    >>> tokens = g.Signal.tokens(torch.zeros(2, 3, dtype=torch.long), mask)
    >>> sequence_classifier(65, 2)(tokens).x.shape
    torch.Size([1, 2, 2])
    """
    classes = positive("a classifier of sequences", classes)
    directions = _directions(channels, hidden, cell)
    final_states = Concat(*[FinalState(layer) for layer in directions])
    head = nn.Linear(_state_channels(directions), classes)
    embedding = Embedding(symbols, channels)
    return Sequential(embedding, Dropout(dropout), final_states, Dropout(dropout), head)


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
    """1 to n: `model(tokens, image)` gives logits `[B, T, V]` of the next token of a text about the
    image.

    A small CNN reads the image; the mean of its output gives the initial state of a recurrent
    network (Vinyals et al., "Show and Tell", 2015; the state from a mean as in Xu et al., "Show,
    Attend and Tell", 2015, without their attention).

    Args:
        symbols: V, size of the vocabulary.
        in_channels: channels of the image, which has at least 4 x 4 pixels.
        channels: channels of the embedding and of the first convolution; the others have twice as
            many.
        hidden: channels of each layer's state.
        depth: number of recurrent layers.
        cell: "lstm", "gru", "rnn_tanh" or "rnn_relu".
        dropout: probability of dropout before every recurrent layer and before the head.

    >>> import torch, geodl as g
    >>> tokens = g.Signal.tokens(torch.zeros(2, 6, dtype=torch.long))
    >>> image = g.Signal.image(torch.zeros(2, 1, 28, 28))
    >>> captioner(20)(tokens, image).x.shape
    torch.Size([2, 6, 20])
    """
    wide = 2 * channels
    encoder = Sequential(
        *_conv_block(in_channels, channels),
        Pool(window(2, stride=2)),
        *_conv_block(channels, wide),
        Pool(window(2, stride=2)),
        *_conv_block(wide, wide),
    )
    layers = _forward_layers(channels, hidden, depth, cell, dropout)
    recurrent = _starting_from_mean(wide, layers)
    return EncoderDecoder(encoder, _language_model(symbols, channels, hidden, dropout, recurrent))


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
    """n to m: `model(target, source)` takes tokens `[B, T, 1]` and `[B, S, 1]` and gives logits
    `[B, T, V]`; the final state of the encoder is the initial state of the decoder.

    (Sutskever et al., "Sequence to Sequence Learning with Neural Networks", 2014. They reverse the
    source; this model does not.)

    Args:
        source_symbols: size of the source's vocabulary.
        target_symbols: V, size of the target's vocabulary.
        channels: channels of both embeddings.
        hidden: channels of each layer's state.
        depth: number of recurrent layers of the encoder, and of the decoder.
        cell: "lstm", "gru", "rnn_tanh" or "rnn_relu".
        dropout: probability of dropout before every recurrent layer and before the head.

    >>> import torch, geodl as g
    >>> target = g.Signal.tokens(torch.zeros(2, 5, dtype=torch.long))
    >>> source = g.Signal.tokens(torch.zeros(2, 7, dtype=torch.long))
    >>> seq2seq(10, 12)(target, source).x.shape
    torch.Size([2, 5, 12])
    """
    reader = _forward_layers(channels, hidden, depth, cell, dropout)
    writer = _forward_layers(channels, hidden, depth, cell, dropout)
    encoder = Sequential(Embedding(source_symbols, channels), FinalState(*reader))
    decoder = _language_model(target_symbols, channels, hidden, dropout, FromState(*writer))
    return EncoderDecoder(encoder, decoder)


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
    """n to m: :func:`seq2seq` whose decoder attends to all outputs of the encoder, with additive
    scores: `model(target, source)` gives logits `[B, T, V]`.

    The encoder is bidirectional (Bahdanau et al., "Neural Machine Translation by Jointly Learning
    to Align and Translate", 2015); the mean of its outputs gives the initial state of the decoder
    (Sennrich et al., "Nematus", 2017). Each state of the decoder attends after it has read its
    token, and the result goes to the head, not back into the recurrence: so all tokens are trained
    at once (Luong et al., "Effective Approaches to Attention-based Neural Machine Translation",
    2015).

    Args:
        source_symbols: size of the source's vocabulary.
        target_symbols: V, size of the target's vocabulary.
        channels: channels of both embeddings.
        hidden: channels of the decoder's states, and of the encoder's in each direction.
        depth: number of recurrent layers of the encoder, and of the decoder.
        cell: "lstm", "gru", "rnn_tanh" or "rnn_relu".
        dropout: probability of dropout before every recurrent layer and before the head.

    >>> import torch, geodl as g
    >>> target = g.Signal.tokens(torch.zeros(2, 5, dtype=torch.long))
    >>> source = g.Signal.tokens(torch.zeros(2, 7, dtype=torch.long))
    >>> seq2seq_attention(10, 12)(target, source).x.shape
    torch.Size([2, 5, 12])
    """
    reader = _bidirectional_layers(channels, hidden, depth, cell, dropout)
    project = nn.Linear(2 * hidden, hidden)
    layers = _forward_layers(channels, hidden, depth, cell, dropout)
    recurrent = _starting_from_mean(hidden, layers)
    attention = Cross(Attention(hidden, all_pairs(), heads=1, score="additive"))
    both = Concat(nn.Identity(), attention)
    combine = nn.Linear(2 * hidden, hidden)
    encoder = Sequential(Embedding(source_symbols, channels), *reader, project)
    writer = (recurrent, both, combine, nn.Tanh())
    decoder = _language_model(target_symbols, channels, hidden, dropout, *writer)
    return EncoderDecoder(encoder, decoder)


def _forward_layers(
    channels: int, hidden: int, depth: int, cell: str, dropout: float
) -> list[nn.Module]:
    """Recurrent layers along the chain, each after a dropout."""
    depth = positive(f"a recurrent network of depth {depth!r}", depth)
    layers: list[nn.Module] = []
    width = channels
    for _ in range(depth):
        layers += [Dropout(dropout), Recurrent(width, hidden, cell)]
        width = hidden
    return layers


def _bidirectional_layers(
    channels: int, hidden: int, depth: int, cell: str, dropout: float
) -> list[nn.Module]:
    """Recurrent layers in both directions, their outputs concatenated, each after a dropout."""
    depth = positive(f"a recurrent network of depth {depth!r}", depth)
    layers: list[nn.Module] = []
    width = channels
    for _ in range(depth):
        layers += [Dropout(dropout), Concat(*_directions(width, hidden, cell))]
        width = 2 * hidden
    return layers


def _directions(channels: int, hidden: int, cell: str) -> list[Recurrent]:
    """A layer that runs forward, and one that runs backward."""
    forward = Recurrent(channels, hidden, cell, rule=previous())
    backward = Recurrent(channels, hidden, cell, rule=previous().reverse())
    return [forward, backward]


def _starting_from_mean(channels: int, layers: list[nn.Module]) -> FromState:
    """Recurrent layers whose initial state is a linear function, then tanh, of the mean of the
    second signal, which has this many channels.
    """
    to_state = nn.Linear(channels, _state_channels(layers))
    return FromState(*layers, reader=Sequential(Readout(), to_state, nn.Tanh()))


def _state_channels(layers: Iterable[nn.Module]) -> int:
    """The channels of all states of recurrent layers together."""
    return sum(sum(widths) for widths in state_widths(*layers))


def _conv_block(channels: int, out_channels: int) -> list[nn.Module]:
    """A 3x3 convolution, batch norm and ReLU; the norm would cancel a bias of the convolution."""
    conv = Conv(channels, out_channels, window(3), bias=False)
    return [conv, BatchNorm(out_channels), nn.ReLU()]


def _language_model(
    symbols: int, channels: int, hidden: int, dropout: float, *layers: nn.Module
) -> Sequential:
    """Tokens to logits of the next token: an embedding, layers that end on `hidden` channels,
    dropout and a linear layer.
    """
    embedding, head = Embedding(symbols, channels), nn.Linear(hidden, symbols)
    return Sequential(embedding, *layers, Dropout(dropout), head)

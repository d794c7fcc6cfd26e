"""Transformers: attention on the complete graph of all tokens, or of all patches of an image."""

from typing import Any

from torch import nn

from geodl.errors import GeodlError, positive
from geodl.layer import (
    Conv,
    Dropout,
    Embedding,
    EncoderDecoder,
    LearnedPositions,
    Readout,
    Sequential,
    SinusoidalPositions,
)
from geodl.models.blocks import transformer_decoder, transformer_encoder
from geodl.neighborhood import past, window


def transformer(
    source_symbols: int,
    target_symbols: int,
    *,
    channels: int = 128,
    heads: int = 4,
    depth: int = 3,
    hidden: int | None = None,
    dropout: float = 0.1,
    activation: str = "relu",
    pre_norm: bool = False,
) -> EncoderDecoder:
    """The encoder-decoder of Vaswani et al., "Attention Is All You Need" (2017):
    `model(target, source)` takes tokens `[B, T, 1]` and `[B, S, 1]` and gives logits `[B, T, V]`.

    The paper shares one matrix between both embeddings and the output, and multiplies embeddings by
    sqrt(C). Here the three are separate parameters, and the embeddings are initialised at the size
    that the factor would give them.

    Args:
        source_symbols: size of the source's vocabulary.
        target_symbols: V, size of the target's vocabulary.
        channels: C; 512 in the paper, with 8 heads, 6 blocks and hidden=2048.
        heads: number of heads of each attention.
        depth: number of blocks of the encoder, and of the decoder.
        hidden: channels between the two linear layers of a block; None means 4 C.
        dropout: probability of dropout in the blocks, and on the sum of embedding and position.
        activation: "relu" or "gelu".
        pre_norm: norms before the layers, which trains without warm-up.

    >>> import torch, geodl as g
    >>> target = g.Signal.tokens(torch.zeros(2, 5, dtype=torch.long))
    >>> source = g.Signal.tokens(torch.zeros(2, 7, dtype=torch.long))
    >>> transformer(10, 12, channels=16, depth=1)(target, source).x.shape
    torch.Size([2, 5, 12])
    """
    options: dict[str, Any] = {
        "hidden": hidden,
        "dropout": dropout,
        "activation": activation,
        "pre_norm": pre_norm,
    }
    encoder = transformer_encoder(channels, heads, depth, **options)
    decoder = transformer_decoder(channels, heads, depth, **options)
    head = nn.Linear(channels, target_symbols)
    reader = Sequential(_token_embedding(source_symbols, channels, dropout), encoder)
    writer = Sequential(_token_embedding(target_symbols, channels, dropout), decoder, head)
    return EncoderDecoder(reader, writer)


def _token_embedding(symbols: int, channels: int, dropout: float) -> Sequential:
    """The embedding of tokens, with sinusoidal positions added."""
    embedding = Embedding(symbols, channels)
    return Sequential(embedding, SinusoidalPositions(channels), Dropout(dropout))


def gpt(
    symbols: int,
    *,
    context: int = 64,
    channels: int = 128,
    heads: int = 4,
    depth: int = 4,
    dropout: float = 0.0,
    bias: bool = False,
) -> Sequential:
    """A causal language model as GPT-2 (Radford et al., "Language Models are Unsupervised Multitask
    Learners", 2019): tokens `[B, T, 1]` to logits `[B, T, V]` of the next token.

    Blocks with `pre_norm` over `past()`, GELU, 4 C hidden channels, learned positions, a norm after
    the last block, an output layer that shares its weight with the embedding. Weights are drawn
    with standard deviation 0.02, those before a shortcut's sum with 0.02 / sqrt(2 depth), biases
    are zero. The defaults are the sizes of Karpathy's nanoGPT on a CPU: 804,096 parameters for 65
    symbols, 795,904 without positions.

    Args:
        symbols: V, size of the vocabulary.
        context: the longest sequence.
        channels: C.
        heads: number of heads of each attention.
        depth: number of blocks.
        dropout: probability of dropout in the blocks, and on the sum of embedding and position.
        bias: whether linear layers, attention and norms have biases: GPT-2 has them, nanoGPT trains
            without.

    >>> import torch, geodl as g
    >>> gpt(65)(g.Signal.tokens(torch.zeros(2, 10, dtype=torch.long))).x.shape
    torch.Size([2, 10, 65])
    """
    embedding = Embedding(symbols, channels)
    head = nn.Linear(channels, symbols, bias=False)
    blocks = transformer_encoder(channels, heads, depth, dropout=dropout, rule=past(), bias=bias)
    positions = LearnedPositions(context, channels)
    model = Sequential(embedding, positions, Dropout(dropout), blocks, head)
    _initialise(model)
    # Each block adds two terms to the shortcut; the factor keeps the variance of the sum of all
    # 2 depth terms independent of the depth.
    for name, weight in blocks.named_parameters():
        if name.endswith(("out_proj.weight", "inner.4.weight")):
            nn.init.normal_(weight, std=0.02 * (2 * depth) ** -0.5)
    head.weight = embedding.weight
    return model


def bert(
    symbols: int,
    *,
    context: int = 64,
    channels: int = 128,
    heads: int = 4,
    depth: int = 4,
    dropout: float = 0.1,
    pre_norm: bool = False,
) -> Sequential:
    """A masked language model as BERT (Devlin et al., "BERT: Pre-training of Deep Bidirectional
    Transformers", 2019): tokens `[B, T, 1]`, some of them replaced by a mask token, to logits
    `[B, T, V]` of the tokens that were replaced.

    Every token attends to all tokens. The head is linear, GELU, norm, and a linear layer that
    shares its weight with the embedding. One segment only.

    Args:
        symbols: V, size of the vocabulary, the mask token in it.
        context: the longest sequence.
        channels: C.
        heads: number of heads of each attention.
        depth: number of blocks.
        dropout: probability of dropout in the blocks, and on the embedded tokens.
        pre_norm: norms before the layers, which trains without warm-up; after the sum in the paper.

    >>> import torch, geodl as g
    >>> bert(66)(g.Signal.tokens(torch.zeros(2, 10, dtype=torch.long))).x.shape
    torch.Size([2, 10, 66])
    """
    embedding = Embedding(symbols, channels)
    head = nn.Linear(channels, symbols)
    positions = LearnedPositions(context, channels)
    blocks = transformer_encoder(channels, heads, depth, dropout=dropout, pre_norm=pre_norm)
    # As an integer of Python, whatever the caller's is: torch's norm iterates over other sizes.
    width = embedding.channels
    first = [embedding, positions, nn.LayerNorm(width), Dropout(dropout)]
    last = [nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width), head]
    model = Sequential(*first, blocks, *last)
    _initialise(model)
    head.weight = embedding.weight
    return model


def vit(
    classes: int = 10,
    *,
    size: int = 28,
    patch: int = 7,
    channels: int = 64,
    heads: int = 4,
    depth: int = 4,
    in_channels: int = 1,
    dropout: float = 0.0,
) -> Sequential:
    """A Vision Transformer (Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021): images
    `[B, size^2, in_channels]` to logits `[B, 1, classes]`.

    A convolution whose stride is its size turns patches into nodes. The readout is the mean over
    all of them, not a class token (Beyer et al., "Better plain ViT baselines for ImageNet-1k",
    2022).

    Args:
        classes: channels of the single node at the end.
        size: height and width of the images.
        patch: height and width of a patch; it divides `size`.
        channels: C.
        heads: number of heads of each attention.
        depth: number of blocks.
        in_channels: channels of the images.
        dropout: probability of dropout in the blocks, and on the sum of patch and position.

    Raises:
        GeodlError: if the size of a patch does not divide that of the image.

    >>> import torch, geodl as g
    >>> vit()(g.Signal.image(torch.zeros(2, 1, 28, 28))).x.shape
    torch.Size([2, 1, 10])
    """
    asked = f"vit(size={size!r}, patch={patch!r})"
    size = positive(asked, size)
    patch = positive(asked, patch)
    classes = positive(f"vit(classes={classes!r})", classes)
    if size % patch:
        raise GeodlError(
            asked, "patches that do not tile the image", "choose a divisor of the size"
        )
    patches = Conv(in_channels, channels, window(patch, stride=patch, padding="valid"))
    positions = LearnedPositions((size // patch, size // patch), channels)
    blocks = transformer_encoder(channels, heads, depth, dropout=dropout)
    head = nn.Linear(channels, classes)
    return Sequential(patches, positions, Dropout(dropout), blocks, Readout(), head)


def _initialise(model: nn.Module) -> None:
    """Draw the weights of linear layers, attention and embeddings with standard deviation 0.02, set
    their biases to zero, and leave norms as they are (Radford et al., 2018).
    """
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            continue
        for name, parameter in module.named_parameters(recurse=False):
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.normal_(parameter, std=0.02)

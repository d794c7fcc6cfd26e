"""Transformers: attention on the complete graph of all tokens, or of all patches."""

from torch import nn

from geodl.domain.base import positive
from geodl.errors import GeodlError
from geodl.layer import (
    Conv,
    Dropout,
    Embedding,
    LearnedPositions,
    Readout,
    Sequential,
    SinusoidalPositions,
)
from geodl.models.blocks import transformer_decoder, transformer_encoder
from geodl.models.encoder_decoder import EncoderDecoder
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
    """The Transformer of Vaswani et al., "Attention Is All You Need" (2017): `model(target,
    source)` gives logits `[B, T, V]`.

    Where the paper shares one matrix between embeddings and output and scales it by sqrt(C), the
    three are parameters of their own here, and embeddings begin at the size that the scale gives
    them.

    Args:
        source_symbols: how many different tokens the source has.
        target_symbols: V, how many the target has.
        channels: C; 512 in the paper, with 8 heads, 6 blocks and hidden=2048.
        heads: of each attention.
        depth: blocks of the encoder, and of the decoder.
        hidden: channels between a block's two linear layers, by default 4 C.
        dropout: in the blocks, and of the sum of embedding and position.
        activation: "relu" or "gelu".
        pre_norm: norms before the layers, which trains without warm-up.

    >>> import torch, geodl as g
    >>> target, source = (g.Signal.tokens(torch.zeros(2, n, dtype=torch.long)) for n in (5, 7))
    >>> transformer(10, 12, channels=16, depth=1)(target, source).x.shape
    torch.Size([2, 5, 12])
    """

    def placed(symbols: int) -> Sequential:
        return Sequential(
            Embedding(symbols, channels), SinusoidalPositions(channels), Dropout(dropout)
        )

    encoder, decoder = (
        make(
            channels,
            heads,
            depth,
            hidden=hidden,
            dropout=dropout,
            activation=activation,
            pre_norm=pre_norm,
        )
        for make in (transformer_encoder, transformer_decoder)
    )
    head = nn.Linear(channels, target_symbols)
    return EncoderDecoder(
        Sequential(placed(source_symbols), encoder),
        Sequential(placed(target_symbols), decoder, head),
    )


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
    Learners", 2019).

    `[B, T, 1]` tokens to logits `[B, T, V]` of the next: blocks with the norm first over `past()`,
    GELU, 4 C channels inside, learned positions, a last norm, an output head tied to the embedding.
    Weights are drawn with deviation 0.02, those that end in a shortcut with 0.02 / sqrt(2 depth),
    biases zero. By default it has the sizes of Karpathy's nanoGPT on a CPU: 804,096 parameters for
    65 symbols, 795,904 without positions. Its dropout is that of :func:`transformer_encoder`.

    Args:
        symbols: V.
        context: the longest sequence.
        channels: C.
        heads: of each attention.
        depth: number of blocks.
        dropout: in the blocks, and of the sum of embedding and position.
        bias: of linear layers, attention and norms: GPT-2 has them, nanoGPT trains without.

    >>> import torch, geodl as g
    >>> gpt(65)(g.Signal.tokens(torch.zeros(2, 10, dtype=torch.long))).x.shape
    torch.Size([2, 10, 65])
    """
    embedding, head = Embedding(symbols, channels), nn.Linear(channels, symbols, bias=False)
    blocks = transformer_encoder(channels, heads, depth, dropout=dropout, rule=past(), bias=bias)
    model = Sequential(
        embedding, LearnedPositions(context, channels), Dropout(dropout), blocks, head
    )
    _draw(model)
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
    Transformers", 2019).

    `[B, T, 1]` tokens, some of them replaced by a mask, to logits `[B, T, V]` of the tokens that
    stood there. Every token hears all others. The head is linear, GELU, norm, and a linear layer
    tied to the embedding. One segment only.

    Args:
        symbols: V, the mask among them.
        context: the longest sequence.
        channels: C.
        heads: of each attention.
        depth: number of blocks.
        dropout: in the blocks, and of the embedded tokens.
        pre_norm: norms before the layers, which trains without warm-up; after the sum in the paper.

    >>> import torch, geodl as g
    >>> bert(66)(g.Signal.tokens(torch.zeros(2, 10, dtype=torch.long))).x.shape
    torch.Size([2, 10, 66])
    """
    embedding, head = Embedding(symbols, channels), nn.Linear(channels, symbols)
    model = Sequential(
        *(embedding, LearnedPositions(context, channels), nn.LayerNorm(channels), Dropout(dropout)),
        transformer_encoder(channels, heads, depth, dropout=dropout, pre_norm=pre_norm),
        *(nn.Linear(channels, channels), nn.GELU(), nn.LayerNorm(channels), head),
    )
    _draw(model)
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
    """A Vision Transformer (Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021): images to
    logits `[B, 1, classes]`.

    Patches are the nodes that a strided window makes. The readout is the mean over all of them, not
    a class token (Beyer et al., "Better plain ViT baselines for ImageNet-1k", 2022).

    Args:
        classes: channels of the single node at the end.
        size: height and width of the images.
        patch: height and width of a patch; it divides `size`.
        channels: C.
        heads: of each attention.
        depth: number of blocks.
        in_channels: channels of the images.
        dropout: in the blocks, and of the sum of patch and position.

    Raises:
        GeodlError: patches that do not tile the image.

    >>> import torch, geodl as g
    >>> vit()(g.Signal.image(torch.zeros(2, 1, 28, 28))).x.shape
    torch.Size([2, 1, 10])
    """
    positive(f"vit(size={size!r}, patch={patch!r})", size, patch)
    if size % patch:
        raise GeodlError(
            f"vit(size={size}, patch={patch})",
            "patches that do not tile the image",
            "choose a divisor of the size",
        )
    return Sequential(
        Conv(in_channels, channels, window(patch, stride=patch, padding="valid")),
        LearnedPositions((size // patch,) * 2, channels),
        Dropout(dropout),
        transformer_encoder(channels, heads, depth, dropout=dropout),
        Readout(),
        nn.Linear(channels, classes),
    )


def _draw(model: nn.Module) -> None:
    """Weights of linear layers, attention and embeddings with deviation 0.02, their biases zero
    (Radford et al., 2018).
    """
    for module in model.modules():
        if not isinstance(module, nn.LayerNorm):
            for name, parameter in module.named_parameters(recurse=False):
                nn.init.zeros_(parameter) if name.endswith("bias") else nn.init.normal_(
                    parameter, std=0.02
                )

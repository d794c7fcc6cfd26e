"""DETR: object detection by a Transformer encoder-decoder with learned object queries."""

import copy
import math
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar, final

import torch
from torch import Tensor, nn

from geodl.domain import Chain
from geodl.errors import GeodlError, as_integer, positive
from geodl.layer import (
    Attention,
    BatchNorm,
    Concat,
    Conv,
    Cross,
    Expected,
    Layer,
    LearnedPositions,
    Residual,
    Sequential,
    SinusoidalPositions,
)
from geodl.layer.check import check_no_sender
from geodl.layer.position import sinusoidal
from geodl.layer.trace import made
from geodl.neighborhood import all_pairs, window
from geodl.signal import Signal

CELL = 8  # pixels along an axis that become one node: three windows halve the image
INITIAL_SIDE = 0.25  # of the boxes before training, as a share of the image
Shared = TypeVar("Shared", bound=nn.Module)
BOX = 4  # numbers of a box: x and y of its centre, width, height


class Predictions(NamedTuple):
    """The class scores and boxes that each decoder layer predicts for each object query, the last
    layer last.

    Attributes:
        logits: `[B, L, Q, K + 1]`, scores of the classes; the last class is "no object".
        boxes: `[B, L, Q, 4]`, `(x, y, width, height)`, x and y of the centre, shares of the image.
    """

    logits: Tensor
    boxes: Tensor


@final
class Detr(Layer):
    """An encoder-decoder with learned object queries: `decoder(object queries, encoder(image))`.

    A query is a node of a chain. Its values start as zeros; queries differ by the learned position
    embeddings that the decoder's attention layers add.

    Args:
        encoder: takes an image.
        decoder: takes object queries, and the encoder's output as second signal; returns
            `L (K + 5)` channels for each query, those of its last layer last.
        queries: Q, the number of object queries.
        channels: C, of the queries.
        classes: K, without "no object".

    Raises:
        GeodlError: if a number is not positive.

    >>> model = detr(3, size=32, queries=4, channels=16, heads=2)
    >>> model(Signal.image(torch.zeros(2, 1, 32, 32))).x.shape
    torch.Size([2, 4, 24])
    """

    transparent = True

    def __init__(
        self, encoder: Layer, decoder: Layer, *, queries: int, channels: int, classes: int
    ):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.queries = positive(f"Detr(queries={queries!r})", queries)
        self.channels = positive(f"Detr(channels={channels!r})", channels)
        self.classes = positive(f"Detr(classes={classes!r})", classes)

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The predictions of all decoder layers side by side: `[B, Q, L (K + 5)]` on a chain of
        queries.
        """
        check_no_sender(self, sender)
        memory = self.encoder(receiver)
        return self.decoder(self.objects(memory), memory)

    def objects(self, memory: Signal) -> Signal:
        """The object queries before the decoder, zeros `[B, Q, C]`, for an encoder's output."""
        zeros = memory.x.new_zeros(memory.x.shape[0], self.queries, self.channels)
        return made(self, Signal(zeros, Chain(self.queries)), memory)

    def predictions(self, image: Signal) -> Predictions:
        """Class scores and boxes that each decoder layer predicts.

        Args:
            image: `[B, N, in_channels]` on a grid.

        >>> model = detr(3, size=32, queries=4, channels=16, heads=2)
        >>> model.predictions(Signal.image(torch.zeros(2, 1, 32, 32))).boxes.shape
        torch.Size([2, 3, 4, 4])
        """
        return read_predictions(self(image).x, self.classes)

    def extra_repr(self) -> str:
        return f"{self.queries} queries of {self.channels} channels, {self.classes} classes"


def read_predictions(x: Tensor, classes: int) -> Predictions:
    """Class scores and boxes from the output `[B, Q, L (K + 5)]` of a :class:`Detr`.

    Args:
        x: the output.
        classes: K.

    Raises:
        GeodlError: if the channels are not those of whole layers.
    """
    width = classes + 1 + BOX
    asked = f"the predictions of a detector of {classes} classes"
    if not isinstance(x, Tensor):
        raise GeodlError(asked, f"a {type(x).__name__}", f"give a tensor [B, Q, L {width}]")
    if x.dim() != 3 or x.shape[2] % width or not x.shape[2]:
        raise GeodlError(asked, f"values {list(x.shape)}", f"give [B, Q, L {width}]")
    layers = x.unflatten(2, (-1, width)).movedim(2, 1)
    return Predictions(layers[..., : classes + 1], layers[..., classes + 1 :].sigmoid())


def detr(
    classes: int = 10,
    *,
    size: int = 64,
    in_channels: int = 1,
    queries: int = 16,
    channels: int = 96,
    heads: int = 4,
    encoder_depth: int = 2,
    decoder_depth: int = 3,
    hidden: int = 256,
) -> Detr:
    """A small DETR (Carion et al., "End-to-End Object Detection with Transformers", 2020): images
    `[B, size^2, in_channels]` to classes and boxes, which :meth:`Detr.predictions` reads.

    The backbone, a convolutional network, makes one node of 8 x 8 pixels. The Transformer encoder
    runs on these nodes, the decoder on the object queries, which attend to one another and to all
    nodes. Positions, sinusoidal on two axes for nodes and learned for object queries, are added to
    the inputs of the attention's queries and keys, not of its values. Two prediction heads, a
    linear layer for the class and a perceptron of three layers for the box, are shared by all
    decoder layers, and each layer predicts.

    It differs from the paper in two ways. Norms come before the attention and linear layers
    (pre-norm), so that it learns without a long warm-up. Each query has a reference point, at first
    on a regular lattice over the image, and its position embedding is at first that of a node
    there; boxes are predicted relative to the points, `sigmoid(f(y) + logit(point))` with learned
    points (as Zhu et al., "Deformable DETR", 2021).

    Args:
        classes: K.
        size: height and width of the images, a multiple of 8.
        in_channels: channels of the images.
        queries: Q, the largest number of objects that can be found; best a square number.
        channels: C, a multiple of 4 and of `heads`.
        heads: number of heads of each attention.
        encoder_depth: number of blocks of the encoder.
        decoder_depth: L, number of blocks of the decoder.
        hidden: channels between the two linear layers of a block.

    Raises:
        GeodlError: if a size is no positive integer, or no multiple as said above; at the call, if
            images have another size, for reference points are places in images of this size.

    >>> model = detr()
    >>> sum(parameter.numel() for parameter in model.parameters())
    894207
    """
    asked = f"detr(size={size!r})"
    size = positive(asked, size)
    if size % CELL:
        raise GeodlError(asked, "nodes of 8 x 8 pixels that do not tile it", "give a multiple of 8")
    queries = positive(f"detr(queries={queries!r})", queries)
    classes = positive(f"detr(classes={classes!r})", classes)
    hidden = positive(f"detr(hidden={hidden!r})", hidden)
    decoder_depth = positive(f"detr(decoder_depth={decoder_depth!r})", decoder_depth)
    # Without blocks the encoder is the convolutional network alone.
    if as_integer(encoder_depth) != 0:
        encoder_depth = positive(f"detr(encoder_depth={encoder_depth!r})", encoder_depth)
    points = _reference_points(queries)
    node_positions = SinusoidalPositions(channels)
    query_positions = LearnedPositions(queries, channels)
    with torch.no_grad():
        # The middle of node i stands at (i + 1/2) / nodes of the image; rows are the first axis.
        query_positions.weight.copy_(sinusoidal(points.flip(-1) * (size // CELL) - 0.5, channels))

    encoder = [*_backbone(in_channels, channels)]
    for _ in range(encoder_depth):
        self_attention = Attention(channels, all_pairs(), heads, positions=node_positions)
        encoder += [
            Residual(nn.LayerNorm(channels), self_attention),
            _feed_forward(channels, hidden),
        ]
    encoder.append(nn.LayerNorm(channels))

    blocks = []
    for _ in range(decoder_depth):
        blocks.append(_decoder_block(channels, heads, hidden, query_positions, node_positions))
    decoder = _with_heads(blocks, _prediction_heads(channels, classes, points))
    return Detr(
        Sequential(Expected(size, size), *encoder),
        decoder,
        queries=queries,
        channels=channels,
        classes=classes,
    )


def _backbone(in_channels: int, channels: int) -> list[nn.Module]:
    """Three stages that each halve the image; the last two have a residual block."""
    widths = (channels // 3, 2 * channels // 3, channels)
    layers = [*_halving(in_channels, widths[0])]
    for before, after in pairwise(widths):
        inner = [*_convolved(after), nn.ReLU(), *_convolved(after)]
        layers += [*_halving(before, after), Residual(*inner), nn.ReLU()]
    return [*layers, Conv(channels, channels, window(1, axes=2))]


def _halving(before: int, after: int) -> list[nn.Module]:
    half = window(3, stride=2, padding=1)
    return [Conv(before, after, half, bias=False), BatchNorm(after), nn.ReLU()]


def _convolved(channels: int) -> list[nn.Module]:
    return [Conv(channels, channels, window(3), bias=False), BatchNorm(channels)]


def _decoder_block(
    channels: int,
    heads: int,
    hidden: int,
    query_positions: LearnedPositions,
    node_positions: SinusoidalPositions,
) -> list[nn.Module]:
    """Self-attention among the queries, their cross-attention to the image, two linear layers."""
    own = _shared_copy(query_positions)
    both = (_shared_copy(query_positions), node_positions)
    self_attention = Attention(channels, all_pairs(), heads, positions=own)
    cross_attention = Attention(channels, all_pairs(), heads, positions=both)
    return [
        Residual(nn.LayerNorm(channels), self_attention),
        Residual(nn.LayerNorm(channels), Cross(cross_attention)),
        _feed_forward(channels, hidden),
    ]


def _feed_forward(channels: int, hidden: int) -> Residual:
    wide = nn.Linear(channels, hidden)
    narrow = nn.Linear(hidden, channels)
    return Residual(nn.LayerNorm(channels), wide, nn.ReLU(), narrow)


def _reference_points(queries: int) -> Tensor:
    """The reference points of queries, `[Q, 2]` as shares of width and height: a lattice."""
    columns = math.ceil(math.sqrt(queries))
    rows = math.ceil(queries / columns)
    number = torch.arange(queries)
    x = (number % columns + 0.5) / columns
    y = (number // columns + 0.5) / rows
    return torch.stack([x, y], -1)


def _prediction_heads(channels: int, classes: int, points: Tensor) -> Sequential:
    """The prediction heads, `[B, Q, C]` to `[B, Q, K + 5]`: class scores, and the logits of boxes
    relative to learned reference boxes.
    """
    last = nn.Linear(channels, BOX)
    # Before training each query predicts its reference box.
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    boxes = Sequential(
        nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels), nn.ReLU(), last
    )
    references = LearnedPositions(len(points), classes + 1 + BOX)
    sides = torch.full_like(points, INITIAL_SIDE)
    with torch.no_grad():
        references.weight.zero_()
        references.weight[:, classes + 1 :] = torch.cat([points, sides], -1).logit()
    return Sequential(
        nn.LayerNorm(channels), Concat(nn.Linear(channels, classes + 1), boxes), references
    )


def _with_heads(blocks: list[list[nn.Module]], heads: Sequential) -> Sequential:
    """A decoder with the same prediction heads after each block, their outputs side by side:
    `Sequential(block, Concat(heads, Sequential(block, Concat(heads, ...))))`.
    """
    *others, last = blocks
    decoder = Sequential(*last, heads)
    for block in reversed(others):
        decoder = Sequential(*block, Concat(_shared_copy(heads), decoder))
    return decoder


def _shared_copy(module: Shared) -> Shared:
    """A copy of a module that shares its parameters.

    The module itself in two places would do in training, but not in `torch.func.functional_call`,
    which replaces the parameters twice and then restores the first replacement in their stead.
    """
    kept = {id(parameter): parameter for parameter in module.parameters()}
    return copy.deepcopy(module, kept)

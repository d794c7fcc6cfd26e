"""DETR: a Transformer whose decoder asks an image for its objects."""

import copy
import math
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar, final

import torch
from torch import Tensor, nn

from geodl.domain import Chain
from geodl.errors import GeodlError, positive
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
TYPICAL = 0.25  # side of a box before anything is learnt, as a share of the image
Shared = TypeVar("Shared", bound=nn.Module)
BOX = 4  # numbers of a box: x and y of its centre, width, height


class Answers(NamedTuple):
    """What each layer of a decoder says of each object query, the last layer last.

    Attributes:
        logits: `[B, L, Q, K + 1]`, scores of the classes; the last one means "no object".
        boxes: `[B, L, Q, 4]`, `(x, y, width, height)`, x and y of the centre, shares of the image.
    """

    logits: Tensor
    boxes: Tensor


@final
class Detr(Layer):
    """An encoder-decoder whose targets are learnt: `decoder(object queries, encoder(image))`.

    A query is a node of a chain whose values begin as zeros; what tells queries apart is the
    learned position that the decoder's attentions add.

    Args:
        encoder: takes an image.
        decoder: takes object queries, and the encoder's answer as second signal; ends on
            `L (K + 5)` channels, those of its last layer last.
        queries: Q.
        channels: C of the queries.
        classes: K.

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
        """What each query answers: `[B, Q, L (K + 5)]` on a chain of queries."""
        check_no_sender(self, sender)
        memory = self.encoder(receiver)
        return self.decoder(self.objects(memory), memory)

    def objects(self, memory: Signal) -> Signal:
        """The object queries at their start, zeros `[B, Q, C]`, for an encoder's answer."""
        zeros = memory.x.new_zeros(memory.x.shape[0], self.queries, self.channels)
        return made(self, Signal(zeros, Chain(self.queries)), memory)

    def answers(self, image: Signal) -> Answers:
        """Classes and boxes that each layer of the decoder gives.

        >>> model = detr(3, size=32, queries=4, channels=16, heads=2)
        >>> model.answers(Signal.image(torch.zeros(2, 1, 32, 32))).boxes.shape
        torch.Size([2, 3, 4, 4])
        """
        return read_answers(self(image).x, self.classes)

    def extra_repr(self) -> str:
        return f"{self.queries} queries of {self.channels} channels, {self.classes} classes"


def read_answers(x: Tensor, classes: int) -> Answers:
    """Classes and boxes out of the channels `[B, Q, L (K + 5)]` of a decoder.

    Args:
        x: what a :class:`Detr` answered.
        classes: K.

    Raises:
        GeodlError: if the channels are not those of whole layers.
    """
    width = classes + 1 + BOX
    if x.dim() != 3 or x.shape[2] % width or not x.shape[2]:
        asked = f"the answers of a detector of {classes} classes"
        raise GeodlError(asked, f"values {list(x.shape)}", f"give [B, Q, L {width}]")
    layers = x.unflatten(2, (-1, width)).movedim(2, 1)
    return Answers(layers[..., : classes + 1], layers[..., classes + 1 :].sigmoid())


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
    `[B, size^2, in_channels]` to what each object query answers, read by :meth:`Detr.answers`.

    A convolutional network makes one node of 8 x 8 pixels. Blocks of a Transformer encoder run on
    these nodes, blocks of a decoder on the object queries, which attend to one another and to all
    nodes. Sinusoidal positions on two axes, those of queries learnt, are added to what queries and
    keys read; values have none. A linear layer scores the classes, a perceptron of three layers
    makes the box, both shared by the layers of the decoder, each of which answers.

    Other than in the paper: norms stand before the layers, so that it learns without a long
    warm-up. Queries begin on a lattice of points of the image, their positions as those of nodes
    there, and boxes are offsets of these points, `sigmoid(f(y) + logit(point))` with learned points
    (as Zhu et al., "Deformable DETR", 2021).

    Args:
        classes: K.
        size: height and width of the images, a multiple of 8.
        in_channels: channels of the images.
        queries: Q, the most objects that can be found; best a square number.
        channels: C, a multiple of 4 and of the heads.
        heads: number of heads of each attention.
        encoder_depth: number of blocks of the encoder.
        decoder_depth: L, number of blocks of the decoder.
        hidden: channels between the two linear layers of a block.

    Raises:
        GeodlError: if a size is no positive integer or does not fit as said; at the call, images of
            another size: the points of the queries are places on images of this one.

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
    points = _points(queries)
    places = SinusoidalPositions(channels)
    asking = LearnedPositions(queries, channels)
    with torch.no_grad():
        # The middle of node i stands at (i + 1/2) / nodes of the image; rows are the first axis.
        asking.weight.copy_(sinusoidal(points.flip(-1) * (size // CELL) - 0.5, channels))

    encoder = [*_backbone(in_channels, channels)]
    for _ in range(encoder_depth):
        looking = Attention(channels, all_pairs(), heads, positions=places)
        encoder += [Residual(nn.LayerNorm(channels), looking), _feed_forward(channels, hidden)]
    encoder.append(nn.LayerNorm(channels))

    blocks = []
    for _ in range(decoder_depth):
        among = Attention(channels, all_pairs(), heads, positions=_sharing(asking))
        to_image = Attention(channels, all_pairs(), heads, positions=(_sharing(asking), places))
        blocks.append(
            [
                Residual(nn.LayerNorm(channels), among),
                Residual(nn.LayerNorm(channels), Cross(to_image)),
                _feed_forward(channels, hidden),
            ]
        )
    decoder = _answering(blocks, _heads(channels, classes, points))
    return Detr(
        Sequential(Expected(size, size), *encoder),
        decoder,
        queries=queries,
        channels=channels,
        classes=classes,
    )


def _backbone(in_channels: int, channels: int) -> list[nn.Module]:
    """Three stages that halve the image, the last two with a residual block."""
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


def _feed_forward(channels: int, hidden: int) -> Residual:
    wide = nn.Linear(channels, hidden)
    narrow = nn.Linear(hidden, channels)
    return Residual(nn.LayerNorm(channels), wide, nn.ReLU(), narrow)


def _points(queries: int) -> Tensor:
    """Where queries begin, `[Q, 2]` as shares of width and height: a lattice, row by row."""
    columns = math.ceil(math.sqrt(queries))
    rows = math.ceil(queries / columns)
    number = torch.arange(queries)
    x = (number % columns + 0.5) / columns
    y = (number // columns + 0.5) / rows
    return torch.stack([x, y], -1)


def _heads(channels: int, classes: int, points: Tensor) -> Sequential:
    """Scores and boxes of each query, `[B, Q, K + 5]`: what it says, added to where it stands."""
    last = nn.Linear(channels, BOX)
    # Each query begins with a box of its own point, as far as nothing is known.
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    boxes = Sequential(
        nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels), nn.ReLU(), last
    )
    standing = LearnedPositions(len(points), classes + 1 + BOX)
    sides = torch.full_like(points, TYPICAL)
    with torch.no_grad():
        standing.weight.zero_()
        standing.weight[:, classes + 1 :] = torch.cat([points, sides], -1).logit()
    return Sequential(
        nn.LayerNorm(channels), Concat(nn.Linear(channels, classes + 1), boxes), standing
    )


def _answering(blocks: list[list[nn.Module]], heads: Sequential) -> Sequential:
    """A decoder in which the same heads answer behind each block, side by side: `Sequential(block,
    Concat(heads, Sequential(block, Concat(heads, ...))))`.
    """
    *others, last = blocks
    decoder = Sequential(*last, heads)
    for block in reversed(others):
        decoder = Sequential(*block, Concat(_sharing(heads), decoder))
    return decoder


def _sharing(module: Shared) -> Shared:
    """Another module with the very same parameters.

    One module in two places would do in training, but not in `torch.func.functional_call`, which
    exchanges its parameters twice and gives back the first exchange in place of the parameters.
    """
    kept = {id(parameter): parameter for parameter in module.parameters()}
    return copy.deepcopy(module, kept)

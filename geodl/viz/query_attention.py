"""`query_attention`: where in the image each object query of a DETR attends."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from geodl.data import Objects
from geodl.errors import GeodlError
from geodl.layer import evaluated
from geodl.models import Detr
from geodl.viz.attention import cross_attention
from geodl.viz.detections import FOUND, draw_boxes
from geodl.viz.feature_maps import image_signal, shades, show
from geodl.viz.style import blank

COLUMNS = 4
ASKED = "a picture of the attention of queries"


def query_attention(
    model: Detr, image: Tensor, found: Objects, *, threshold: float = 0.5
) -> Figure:
    """An image with all predicted objects, and beside it, for each query that predicts one, the
    cross-attention weights of the last decoder layer over the image, the mean over heads.

    Args:
        model: a detector.
        image: `[C, H, W]`.
        found: the object that each query predicts, in the order of the queries.
        threshold: queries with a smaller score are left out; where all are, the one of the largest
            score is drawn.

    Raises:
        GeodlError: if the model is no `Detr`, or `found` is not one object for each query.

    >>> import torch, geodl as g
    >>> model, image = g.models.detr(3, size=32, channels=16, heads=2), torch.rand(1, 32, 32)
    >>> found = Objects(torch.zeros(16).long(), torch.rand(16, 4), torch.linspace(0, 1, 16))
    >>> len(query_attention(model, image, found, threshold=0.9).axes)
    3
    """
    if not isinstance(model, Detr):
        found_type = f"a {type(model).__name__}"
        raise GeodlError(ASKED, found_type, "give a Detr, as g.models.detr()")
    if found.scores is None or len(found.scores) != model.queries:
        what = f"{len(found.labels)} objects, or such without scores"
        raise GeodlError(ASKED, what, f"give what each of the {model.queries} queries found")
    chosen = (found.scores > threshold).nonzero().flatten().tolist()
    if not chosen:
        chosen = [int(found.scores.argmax())]
    signal = image_signal(ASKED, image)
    with evaluated(model):
        memory = model.encoder(signal)
        weights = cross_attention(model.decoder, model.objects(memory), memory)
    # Of the last layer, the mean over heads, by query and node.
    last = weights[-1].mean(0)
    rows = math.ceil((1 + len(chosen)) / COLUMNS)
    title = "cross-attention of each query in the last decoder layer, and the box that it predicts"
    figure = blank(2.4 * COLUMNS, 0.5 + 2.6 * rows, "")
    figure.suptitle(title, fontsize=10)
    frames = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    show(frames[0], shades(image), "all queries", between=(0.0, 1.0))
    draw_boxes(frames[0], found.above(threshold), image, FOUND)
    for axes, query in zip(frames[1:], chosen, strict=False):
        _draw(axes, last[query].reshape(memory.domain.lattice), image, f"query {query}")
        label, box, score = found.labels[query], found.boxes[query], found.scores[query]
        draw_boxes(axes, Objects(label[None], box[None], score[None]), image, FOUND)
    for axes in frames[1 + len(chosen) :]:
        figure.delaxes(axes)
    return figure


def _draw(axes: Axes, weights: Tensor, image: Tensor, label: str) -> None:
    """The weights of the nodes over their pixels, and the image shining through."""
    height, width = image.shape[-2:]
    show(axes, shades(image), label, between=(0.0, 1.0))
    edges = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(weights.cpu().numpy(), cmap="inferno", extent=edges, alpha=0.65)

"""A mask over links and nodes that is learned for one answer."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from geodl.errors import GeodlError, is_real, positive
from geodl.inspection.score import Attribution, NodeScore, with_gradients
from geodl.signal import Signal

ASKED = "gnn_explainer(model, signal, node)"


def gnn_explainer(
    model: nn.Module,
    signal: Signal,
    node: int,
    channel: int | None = None,
    *,
    steps: int = 200,
    rate: float = 0.1,
    size: float = 0.005,
    entropy: float = 1.0,
) -> Attribution:
    """The few links and nodes that suffice for a model's class of a node: masks m in (0, 1), by
    which the weights of links and the values of nodes are multiplied, that minimise

    `-log softmax(y_i(m x, m w))_c + size * sum m + entropy * mean H(m)`,

    `H(m) = -m log m - (1 - m) log(1 - m)`, by Adam on their logits. The first term is the mutual
    information of the class with what is left, up to a constant; the second asks for few links, the
    third for a decision on each. Links and nodes that the score does not depend on get 0.

    The two directions of a link share one mask, as in the authors' code (a Laplacian has one weight
    for both). The paper's mask of features is shared by all nodes; here a node's values are masked
    together, so that nodes are attributed to as links are.

    Args:
        model: takes a signal on a graph and answers with scores of classes `[1, M, K]`, K > 1. It
            has to read the weights of links.
        signal: one signal, `x` of shape `[1, N, C]` or sparse `[N, C]`, on a `Graph`.
        node: i, the number of a node of the answer; 0 where a whole graph has one answer.
        channel: c, the class; None for the one with the largest score.
        steps: of Adam.
        rate: Adam's learning rate.
        size: weight of the number of links and nodes that stay.
        entropy: weight of the mean entropy.

    Returns:
        The masks, `[N, 1]` and `[E]`.

    Raises:
        GeodlError: if the model has one score only, or does not read the weights of links (it reads
            no links, or attends or pools over them: see `attention_on_edges`); if a derivative of
            the score is NaN or infinite; if a number is out of range; as `saliency`.

    Source: Ying, Bourgeois, You, Zitnik and Leskovec, "GNNExplainer: Generating Explanations for
    Graph Neural Networks" (2019), equations 1 and 4.

    >>> import geodl as g
    >>> star = g.Graph([[0, 1, 2], [3, 3, 3]])
    >>> signal = g.Signal(torch.tensor([[[0.0, 0.0], [5.0, 0.0], [0.0, 0.0], [0.0, 0.0]]]), star)
    >>> found = gnn_explainer(g.Propagate(g.adjacency()), signal, node=3)
    >>> found.edges.argmax().item(), found.nodes.argmax().item()
    (1, 1)
    """
    count = positive(f"{ASKED} with steps={steps!r}", steps)
    for name, value in (("rate", rate), ("size", size), ("entropy", entropy)):
        if not is_real(value) or not 0 <= value < float("inf"):
            raise GeodlError(f"{ASKED} with {name}={value!r}", do="give a number from 0 on")
    with with_gradients(model):
        target = NodeScore(ASKED, model, signal, node, channel)
        graph = _computation_graph(target)
        # At 1/2 the entropy has no slope: it prefers neither answer.
        logits = target.x.new_zeros(graph.num_masks).requires_grad_()
        optimizer = torch.optim.Adam([logits], rate)
        for _ in range(count):
            optimizer.zero_grad()
            loss = _objective(target, logits, graph, size, entropy)
            loss.backward(inputs=[logits])
            optimizer.step()
    nodes, edges = graph.spread(logits.detach().sigmoid())
    return Attribution(nodes[:, None], edges * graph.edges)


class ComputationGraph(NamedTuple):
    """The nodes and links that a score depends on.

    Attributes:
        nodes: `[N]` bool, whether the score has a derivative by a value of the node.
        edges: `[E]` bool, whether it has one by the weight of the link.
        pair: `[E]` the number of the pair of nodes that each link joins, in either direction.
        pairs: `[P]` bool, the pairs that a link of `edges` joins.
    """

    nodes: Tensor
    edges: Tensor
    pair: Tensor
    pairs: Tensor

    @property
    def num_masks(self) -> int:
        """How many masks are learned: one for each node, one for each pair."""
        return int(self.nodes.sum() + self.pairs.sum())

    def spread(self, masks: Tensor) -> tuple[Tensor, Tensor]:
        """The masks of all nodes `[N]` and links `[E]`, 0 of those that the score does not read."""
        of_nodes, of_pairs = masks.tensor_split([int(self.nodes.sum())])
        nodes = masks.new_zeros(self.nodes.shape).masked_scatter(self.nodes, of_nodes)
        pairs = masks.new_zeros(self.pairs.shape).masked_scatter(self.pairs, of_pairs)
        return nodes, pairs[self.pair]


def _computation_graph(target: NodeScore) -> ComputationGraph:
    """The nodes and links that the score has a derivative by."""
    scores = target.scores(target.x, target.weight)
    if len(scores) < 2:
        do = "give a model with a score for each class"
        raise GeodlError(ASKED, "an answer of one channel", do)
    of_x, of_weight = target.gradients(target.x, target.weight)
    if of_weight is None:
        raise _unread(target)
    if not (torch.isfinite(of_x).all() and torch.isfinite(of_weight).all()):
        # NaN is not 0 either, and would make every mask NaN.
        do = "look for roots and norms of 0 in the model"
        raise GeodlError(ASKED, "a score whose derivative is NaN or infinite", do)
    edges = of_weight != 0
    if not edges.any():
        found = f"an answer at node {target.node} that depends on no link"
        raise GeodlError(ASKED, found, "give a node that has links")
    links = target.signal.domain.links()
    ends = torch.stack((links.dst, links.src)).sort(0).values
    known, pair = ends.unique(dim=1, return_inverse=True)
    pairs = edges.new_zeros(known.shape[1])
    pairs[pair[edges]] = True
    return ComputationGraph((of_x != 0).any(-1), edges, pair, pairs)


def _unread(target: NodeScore) -> GeodlError:
    """Why no weight of a link can be learned, in words."""
    domain = target.signal.domain
    found = "a model that does not read the weights of links"
    do = "attention and pooling read none: see attention_on_edges and saliency"
    if not hasattr(domain, "with_weights"):
        found = f"a signal on {domain}, whose links take no weights at run time"
        do = "give a signal on one Graph"
    elif not domain.num_links:
        found, do = f"{domain}, which has no links", "give a graph with links"
    return GeodlError(ASKED, found, do)


def _objective(
    target: NodeScore, logits: Tensor, graph: ComputationGraph, size: float, entropy: float
) -> Tensor:
    """The loss that :func:`gnn_explainer` minimises, at the logits `[P]` of the masks."""
    assert target.weight is not None
    masks = logits.sigmoid()
    nodes, edges = graph.spread(masks)
    scores = target.scores(target.x * nodes[:, None], target.weight * edges)
    # log(1 - sigmoid(l)) = logsigmoid(-l): exact where the mask is nearly 1.
    log, log_of_rest = nn.functional.logsigmoid(logits), nn.functional.logsigmoid(-logits)
    undecided = -(masks * log + (1 - masks) * log_of_rest).mean()
    likelihood = scores.log_softmax(-1)[target.channel]
    return -likelihood + size * masks.sum() + entropy * undecided

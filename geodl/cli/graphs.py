"""Pictures of what trained graph networks read."""

from pathlib import Path
from typing import Any

from geodl.errors import GeodlError

MASK, ATTENTION = "GNNExplainer's mask", "attention of layer "

Shares = tuple[Any, Any]


def neighborhood(folder: Path, node: int, hops: int) -> Any:
    """The figure of what the answer of a run's network at a node rests on, by every method that the
    network takes.

    Raises:
        GeodlError: if no finished run on the nodes of a graph is there; as `viz.neighborhood`.
    """
    from geodl import viz
    from geodl.train.trained import trained

    run = trained(folder, ("nodes",))
    signal, labels = _nodes_of(run.recipe)
    domain = signal.domain
    if not 0 <= node < domain.num_nodes:
        do = f"give a number from 0 to {domain.num_nodes - 1}"
        raise GeodlError(f"--node {node}", f"{domain.num_nodes} nodes in {run.recipe.name}", do)
    panels = _panels(run.model, signal, node)
    predicted = int(run.model(signal).x[0, node].argmax())
    title = f"{run.recipe.name}: what class {predicted} of node {node} rests on"
    if node in labels:
        title = f"{title} (true class: {labels[node]})"
    bounded = [name for name in panels if name.startswith((MASK, ATTENTION))]
    look = {"hops": hops, "as_they_are": bounded, "title": title}
    return viz.neighborhood(domain, node, panels, **look)


def _nodes_of(recipe: Any) -> tuple[Any, dict[int, int]]:
    """The signal that a recipe learns on, and the classes of the nodes whose class it knows."""
    parts = recipe.parts()
    labels: dict[int, int] = {}
    for part in (parts.train, parts.val, *parts.tests.values()):
        if part is not None:
            labels |= dict(zip(part.nodes.tolist(), part.labels.tolist(), strict=True))
    return parts.train.signal, labels


def _panels(model: Any, signal: Any, node: int) -> dict[str, Shares]:
    """What each method says of nodes and links."""
    from geodl import inspection
    from geodl.layer import Attention

    by_gradient = inspection.saliency(model, signal, node)
    by_way = inspection.integrated_gradients(model, signal, node, steps=30)
    panels: dict[str, Shares] = {
        "saliency": _magnitudes(by_gradient),
        "integrated gradients": _magnitudes(by_way),
    }
    if by_gradient.edges is not None:
        panels[MASK] = _magnitudes(inspection.gnn_explainer(model, signal, node))
    panels["receptive field"] = (inspection.receptive_field(model, signal, node), None)
    if any(isinstance(layer, Attention) for layer in model.modules()):
        count = len(signal.domain.links().dst)
        for layer in inspection.attention_on_edges(model, signal):
            panels[f"{ATTENTION}{layer.path}"] = (None, layer.on_links(count))
    return panels


def _magnitudes(found: Any) -> Shares:
    """One number a node, one a link."""
    return found.nodes.abs().sum(-1), found.edges


def smoothing(folders: list[Path]) -> Any:
    """The figure of the over-smoothing curves of runs' networks.

    Raises:
        GeodlError: if a folder holds no finished run on the nodes of a graph; if two are of one
            recipe; as `inspection.smoothing`.
    """
    from geodl import inspection, viz
    from geodl.train.trained import trained

    curves: dict[str, tuple[float, ...]] = {}
    for folder in folders:
        run = trained(folder, ("nodes",))
        name = run.recipe.name
        if name in curves:
            asked = f"a picture with {folder}"
            raise GeodlError(asked, f"another run of {name}", "give each network once")
        curves[name] = inspection.smoothing(run.model, _nodes_of(run.recipe)[0])
    return viz.smoothing(curves)

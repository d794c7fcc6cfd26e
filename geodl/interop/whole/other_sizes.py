"""An example with a further graph in it, so that its numbers of nodes, links and graphs are others.

Numbers that are equal on a user's example by chance, as those of the nodes and of the links of a
ring, do not tell which of them a model reads. On this one all of them differ.
"""

from typing import Any

import torch
from torch import Tensor, nn

from geodl.domain.graph import EDGE_VALUES

LARGEST = 64  # nodes that are added


def with_other_sizes(
    values: dict[str, Any], roles: dict[str, str], count: int, module: nn.Module
) -> dict[str, Any] | None:
    """The values of an example with a path of further nodes, linked both ways, which is a graph of
    its own where there are several. Its nodes and links have the features of the first ones.

    Args:
        values: of the example, by name.
        roles: of what the domain and the edges hold, and of features of nodes.
        count: of the example's nodes.
        module: the model, whose numbers of channels are avoided, too.

    Returns:
        None where the example holds other things than numbers and dense tensors, or features of
        links and no link.
    """
    held = [value for value in values.values() if isinstance(value, Tensor)]
    if any(type(value) is not Tensor or value.layout != torch.strided for value in held):
        return None
    of_role = {role: values[name] for name, role in roles.items() if role != "node"}
    links, batch = of_role["edge_index"], of_role.get("batch")
    graphs = 1
    if isinstance(batch, Tensor):
        graphs = int(batch.max()) + 1
    sizes = (count, links.shape[1], graphs)
    taken = {n for tensor in (*held, *module.parameters()) for n in tensor.shape}
    added = _nodes_added(sizes, taken)
    if not count or added is None or (not links.shape[1] and set(of_role) & set(EDGE_VALUES)):
        return None
    path = torch.arange(count, count + added, device=links.device, dtype=links.dtype)
    onward = torch.stack((path[:-1], path[1:]))
    changed = {}
    for name, value in values.items():
        role = roles.get(name, "")
        if role == "edge_index":
            changed[name] = torch.cat((links, onward, onward.flip(0)), 1)
        elif role == "batch" and value is not None:
            changed[name] = torch.cat((value, torch.full_like(value[:1], graphs).expand(added)))
        elif role == "num_graphs" and value is not None:
            changed[name] = value + 1
        elif isinstance(value, Tensor) and value.dim():
            changed[name] = _longer(value, role, sizes, added)
        else:
            changed[name] = value
    return changed


def _nodes_added(sizes: tuple[int, int, int], taken: set[int]) -> int | None:
    """How many nodes the path has; None where no small number tells all sizes apart."""
    nodes, links, graphs = sizes
    for added in range(3, LARGEST):
        made = {nodes + added, links + 2 * (added - 1), graphs + 1}
        # One graph is no number that a model could take for another one.
        if len(made) == 3 and not (made - {graphs + 1}) & taken:
            return added
    return None


def _longer(value: Tensor, role: str, sizes: tuple[int, int, int], added: int) -> Tensor:
    """A tensor with further rows, as many as its first axis says: of nodes, links or graphs."""
    nodes, links, graphs = sizes
    if role in EDGE_VALUES:
        # Of both directions of a link the same, so that they make an undirected one.
        return torch.cat((value, value[:1].expand(2 * (added - 1), *value.shape[1:])))
    if len(value) == nodes:
        repeats = -(-added // nodes)
        rows = torch.cat([value] * repeats)[:added]
        return torch.cat((value, rows))
    if len(value) == links:
        return torch.cat((value, value[:1].expand(2 * (added - 1), *value.shape[1:])))
    if len(value) == graphs and graphs > 1:
        return torch.cat((value, value[:1]))
    return value

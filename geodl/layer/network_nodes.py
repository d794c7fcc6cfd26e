"""The nodes of a network: how they are written down, in which order they run, what is refused."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from geodl.errors import GeodlError, nearest
from geodl.layer.base import Layer
from geodl.layer.joins import JOINS
from geodl.layer.opaque import Opaque
from geodl.layer.pointwise import check_part

Given = Mapping[str, tuple[Any, tuple[str, ...]]]  # the part of each node, and the names it reads


class Node(NamedTuple):
    """One node of a network.

    Attributes:
        name: of the node, and of the value it makes.
        join: the name of a join; "" of a node with a layer.
        path: where in the network its layer stands; "" of a join.
        inputs: the names of the values it reads.
        frees: the names of the values that no later node reads.
    """

    name: str
    join: str
    path: str
    inputs: tuple[str, ...]
    frees: tuple[str, ...]


def read_names(asked: str, given: Any) -> tuple[str, ...]:
    """One name or several as a tuple."""
    names = given
    if isinstance(given, str):
        names = (given,)
    if not isinstance(names, Iterable) or not all(isinstance(name, str) for name in names):
        raise GeodlError(asked, f"a {type(given).__name__}", "give a name, or a tuple of names")
    names = tuple(names)
    if not names or len(set(names)) < len(names):
        raise GeodlError(asked, f"{list(names)}", "give at least one name, and none twice")
    return names


def read_node(name: Any, node: Any) -> tuple[Any, tuple[str, ...]]:
    """The part of a node and the names it reads, once they fit each other."""
    asked = f"the node {name!r} of a Network"
    pieces = str(name).split(".")
    if not isinstance(name, str) or not all(pieces):
        raise GeodlError(asked, "no name", 'give a name, as "conv1" or "down.conv1"')
    if not isinstance(node, tuple | list) or not node:
        raise GeodlError(asked, f"a {type(node).__name__}", "give a tuple (layer, input, ...)")
    part, *read = node
    if not all(isinstance(one, str) for one in read):
        raise GeodlError(asked, f"the inputs {read}", "give the names of its inputs")
    if isinstance(part, str):
        if part not in JOINS:
            raise GeodlError(f"{asked}, the join {part!r}", do=nearest(part, JOINS))
        if len(read) < 2:
            raise GeodlError(asked, f"{len(read)} inputs", "a join reads two or more")
        return part, tuple(read)
    if isinstance(part, Opaque):
        return part, tuple(read)
    check_part(part)
    allowed = (1,)
    if isinstance(getattr(part, "inputs", None), tuple):
        allowed = (len(part.inputs),)
    elif isinstance(part, Layer):
        allowed = (1, 2)
    if len(read) not in allowed:
        wanted = " or ".join(map(str, allowed))
        found = f"{len(read)} inputs of a {type(part).__name__}"
        raise GeodlError(asked, found, f"name {wanted}: (layer, input)")
    return part, tuple(read)


def check_names(inputs: tuple[str, ...], given: Given, outputs: Any) -> None:
    """Refuse names that stand for two things, and names that stand for nothing."""
    twice = [name for name in inputs if name in given]
    if twice:
        found = f"{twice[0]!r}, the name of an input and of a node"
        raise GeodlError("Network(inputs, nodes)", found, "give each a name of its own")
    known = {*inputs, *given}
    for name, (_, read) in given.items():
        for one in read:
            if one not in known:
                asked = f"the node {name!r} of a Network"
                raise GeodlError(asked, f"the unknown input {one!r}", nearest(one, known))
    for name in outputs:
        if name not in given:
            found = f"{name!r}, which no node makes"
            raise GeodlError("the outputs of a Network", found, nearest(name, given))


def in_order(inputs: tuple[str, ...], given: Given) -> list[str]:
    """The names of the nodes, each after those it reads; otherwise as they were given.

    Raises:
        GeodlError: if nodes read each other in a circle, with the names along it.
    """
    known = set(inputs)
    order: list[str] = []
    waiting = list(given)
    while waiting:
        ready = next((name for name in waiting if known.issuperset(given[name][1])), None)
        if ready is None:
            circle = " <- ".join(_circle(waiting, given, known))
            raise GeodlError("Network(inputs, nodes)", f"the circle {circle}", "break it")
        waiting.remove(ready)
        known.add(ready)
        order.append(ready)
    return order


def _circle(waiting: list[str], given: Given, known: set[str]) -> list[str]:
    """Nodes that wait for each other, the first one once more at the end."""
    # From any node that waits, some input waits too: going on, one is met again.
    walk = [waiting[0]]
    while True:
        after = next(name for name in given[walk[-1]][1] if name not in known)
        if after in walk:
            return [*walk[walk.index(after) :], after]
        walk.append(after)


def check_used(
    inputs: tuple[str, ...],
    given: Given,
    outputs: tuple[str, ...],
) -> None:
    """Refuse nodes and inputs that no output needs."""
    needed: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += given.get(name, (None, ()))[1]
    unused = [name for name in (*inputs, *given) if name not in needed]
    if unused:
        found = f"{', '.join(map(repr, unused))}, which no output needs"
        raise GeodlError("Network(inputs, nodes, outputs)", found, "leave out, or name as outputs")


def node_table(
    order: list[str],
    given: Given,
    paths: Mapping[str, str],
    outputs: tuple[str, ...],
) -> tuple[Node, ...]:
    """The nodes as a network keeps them, in their order."""
    last = {name: reader for reader in order for name in given[reader][1]}
    nodes = []
    for name in order:
        part, read = given[name]
        join = part if isinstance(part, str) else ""
        frees = [one for one in dict.fromkeys(read) if last[one] == name and one not in outputs]
        nodes.append(Node(name, join, paths[name], read, tuple(frees)))
    return tuple(nodes)


def rows_of(nodes: tuple[Node, ...], given: Given) -> tuple[tuple[Node, ...], ...]:
    """The nodes in rows, in which each reads nothing but what the one before it makes and nobody
    else reads: layers run there as in a `Sequential`. Any other node is a row of its own.
    """
    rows: list[list[Node]] = []
    for node in nodes:
        if rows and _goes_on(rows[-1][-1], node, given):
            rows[-1].append(node)
        else:
            rows.append([node])
    return tuple(tuple(row) for row in rows)


def _goes_on(before: Node, node: Node, given: Given) -> bool:
    """Whether a node stands in a row with the one before it."""
    for one in (before, node):
        # Opaque parts read anything, not signals alone.
        if one.join or len(one.inputs) != 1 or isinstance(given[one.name][0], Opaque):
            return False
    return node.inputs == node.frees == (before.name,)

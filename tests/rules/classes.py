"""A class is abstract or final, nobody asks for it from outside its room, and what exists is
registered.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

OPEN = {"Protocol", "NamedTuple", "TypedDict", "Enum", "StrEnum", "IntEnum", "Flag", "Exception"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def from_geodl(tree: ast.AST) -> dict[str, str]:
    """The local names of what a module takes from the project, with their names there."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("geodl."):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {
                alias.asname or "geodl": alias.name
                for alias in node.names
                if f"{alias.name}.".startswith("geodl.")
            }
    return names


def questions(tree: ast.AST) -> Iterator[tuple[int, ast.AST]]:
    """The places that ask a value for its class, with the part that names the class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and re.search(
            r"\b(isinstance|issubclass|register)$", ast.unparse(node.func)
        ):
            yield from ((node.lineno, argument) for argument in node.args)
        elif isinstance(node, ast.Compare) and re.search(
            r"\btype\(|\.__class__\b", ast.unparse(node)
        ):
            yield node.lineno, node
        elif isinstance(node, ast.MatchClass):
            yield node.lineno, node.cls


def class_checks(name: str, text: str, classes: set[str]) -> list[str]:
    """Places that ask for one of these classes: isinstance, issubclass, type(x), x.__class__,
    match, register.
    """
    tree = ast.parse(text)
    ours = from_geodl(tree)
    wrong = []
    for line, part in questions(tree):
        used = {n.id for n in ast.walk(part) if isinstance(n, ast.Name)}
        named = {ours[n] for n in used if n in ours}
        if used & ours.keys():
            named |= {n.attr for n in ast.walk(part) if isinstance(n, ast.Attribute)}
        wrong += [f"{name}:{line} asks for the class {c}" for c in sorted(named & classes)]
    return wrong


def last_name(base: ast.expr) -> str:
    """`Layer` for `base.Layer[Any]`."""
    return ast.unparse(base).split("[")[0].split(".")[-1]


def half_abstract(tree: Mapping[str, str]) -> list[str]:
    """Classes that others of the package inherit from although they leave nothing open."""
    nodes = [node for text in tree.values() for node in ast.walk(ast.parse(text))]
    classes = {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}
    bases = {name: [last_name(base) for base in node.bases] for name, node in classes.items()}

    def is_open(name: str) -> bool:
        return name in OPEN or name.endswith("Error") or any(map(is_open, bases.get(name, ())))

    def abstract(name: str) -> set[str]:
        own = [n for n in classes[name].body if isinstance(n, Function)] if name in classes else []
        marked = {
            f.name for f in own if any("abstractmethod" in ast.unparse(d) for d in f.decorator_list)
        }
        inherited = {method for base in bases.get(name, ()) for method in abstract(base)}
        return (inherited - {f.name for f in own}) | marked

    parents = {base for of_one in bases.values() for base in of_one} & classes.keys()
    closed = sorted(name for name in parents if not is_open(name) and not abstract(name))
    return [f"{name} is inherited from and leaves nothing open" for name in closed]


def everything_below(base: type) -> set[type]:
    """All classes that inherit from a base."""
    return {found for child in base.__subclasses__() for found in {child} | everything_below(child)}


def concrete(base: type) -> set[type]:
    """Those of them that can be made."""
    return {c for c in everything_below(base) if not getattr(c, "__abstractmethods__", None)}


def unregistered(found: Iterable[Any], registry: Iterable[Any]) -> list[str]:
    """What exists and stands in no registry."""
    known = list(registry)
    return [
        f"{item} is not registered" for item in found if not any(item is other for other in known)
    ]


def not_last(registry: Mapping[str, tuple[Any, ...]]) -> list[str]:
    """Verbs whose last lowering is not `edges`, the one that never refuses, or that list a name
    twice.
    """
    names = {verb: [lowering.name for lowering in entries] for verb, entries in registry.items()}
    wrong = [
        f"{verb} does not end with edges"
        for verb, of_one in names.items()
        if of_one[-1:] != ["edges"]
    ]
    return wrong + [
        f"{verb} lists a name twice"
        for verb, of_one in names.items()
        if len(set(of_one)) < len(of_one)
    ]

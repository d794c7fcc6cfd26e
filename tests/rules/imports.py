"""Imports point strictly down, go round in no circle, and load nothing heavy before it is asked
for.
"""

import ast
import graphlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

FLOORS = {
    "errors": 0,
    "collector": 0,
    "vectors": 0,
    "compiler": 0.5,
    "pattern": 1,
    "constants": 0,
    "group": 1,
    "domain": 2,
    "neighborhood": 3,
    "signal": 3.5,  # nearest neighbors and restricted signals come with a relation
    "reference": 4,
    "spectrum": 4,
    "lowering": 5,
    "layer": 6,
    "symmetry": 7,  # measured here, asserted in testing
    "models": 7,
    "testing": 7.5,
    "inspection": 7.5,
    "interop": 7.5,
    "data": 8,
    "columns": 1,
    "files": 1,
    "train": 9,
    "viz": 9,
    "bench": 9,
    "verify": 10,
    "tour": 10,
    "cli": 11,  # calls verify and tour
}
CORE = 6
WINDOW = 7  # `import geodl` shows floors 0 to 7: floors above may import it, floors below make it
LAZY = {"inspection", "interop", "models", "data", "train", "viz", "bench"}
STDLIB = set(sys.stdlib_module_names)
ALWAYS = STDLIB | {"geodl", "torch", "numpy"}
DELAYED = {
    "geodl.group.counting": {"sympy"},
    "geodl.group.orbits": {"scipy"},
    "geodl.domain.convert": {"networkx", "scipy", "torch_geometric"},
    "geodl.layer.laplacian": {"scipy"},
    "geodl.neighborhood.eigenvalue": {"scipy"},
    "geodl.spectrum.solver": {"scipy"},
    "geodl.compiler": {"numba"},
    "geodl.vectors": {"numba"},
    "geodl.symmetry.progress": {"tqdm"},
}
DECLARED = ALWAYS | {
    *("torch_geometric", "networkx", "scipy", "sympy"),
    *("lightning", "jsonargparse", "rich", "torchmetrics", "pycocotools", "yaml"),
    *("pooch", "sklearn", "skimage", "PIL", "matplotlib", "numba", "tqdm"),
    *("escnn", "dgl"),  # peers: never required, see README
}


class Import(NamedTuple):
    """One imported name: where it stands, the module it comes from, and whether it is loaded with
    the module.
    """

    line: int
    target: str
    name: str
    at_top: bool

    @property
    def package(self) -> str:
        return self.target.split(".")[0]


def sources(package: Path) -> dict[str, str]:
    """The text of every module of a package by dotted name; a folder's name stands for its
    `__init__`.
    """
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text()
    return found


def imports(text: str, modules: Iterable[str]) -> list[Import]:
    """Every import of a text, inside functions too, and every call of `import_module`."""
    found: list[Import] = []

    def visit(node: ast.AST, at_top: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(node.lineno, alias.name, "", at_top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            inner = {alias.name: f"{base}.{alias.name}" for alias in node.names}
            found.extend(
                Import(node.lineno, path if path in modules else base, name, at_top)
                for name, path in inner.items()
            )
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("import_module", "__import__")
        ):
            target = node.args[0] if node.args else None
            found.append(
                Import(
                    node.lineno,
                    target.value if isinstance(target, ast.Constant) else "<computed>",
                    "",
                    at_top,
                )
            )
        in_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, at_top and not in_function)

    visit(ast.parse(text), True)
    return found


def room(module: str) -> str:
    """`lowering` for `geodl.lowering.fft`, nothing for `geodl`."""
    return module.split(".")[1] if "." in module else ""


def floor(module: str) -> int:
    """The floor a module stands on; one that nobody knows stands above all."""
    return FLOORS.get(room(module), 99) if room(module) else WINDOW


def upward(tree: Mapping[str, str]) -> list[str]:
    """Imports that do not point strictly down. Modules of one room may import each other."""
    wrong = [f"{module} stands on no floor" for module in tree if floor(module) == 99]
    for module, text in tree.items():
        for i in imports(text, tree):
            where = f"{module}:{i.line} imports {i.target}"
            if i.target.startswith("."):
                wrong.append(f"{where}, relatively")
            elif (
                i.package == "geodl"
                and room(module) not in ("", room(i.target))
                and floor(i.target) >= floor(module)
            ):
                wrong.append(f"{where}, from floor {floor(module)} to {floor(i.target)}")
    return wrong


def eager(window: str, modules: Iterable[str]) -> list[str]:
    """What the shop window, `geodl/__init__.py`, must not load by itself."""
    ours = [i for i in imports(window, modules) if i.package == "geodl" and i.at_top]
    return [
        f"geodl:{i.line} loads {i.target}"
        for i in ours
        if room(i.target) in LAZY or floor(i.target) > WINDOW
    ]


def taught(reference: str, modules: Iterable[str]) -> list[str]:
    """What the reference knows of the project besides Edges and the error."""
    ours = [
        i
        for i in imports(reference, modules)
        if i.package == "geodl" and i.target != "geodl.errors"
    ]
    return [
        f"geodl.reference:{i.line} knows {i.target}.{i.name}"
        for i in ours
        if i[1:3] != ("geodl.neighborhood.edges", "Edges")
    ]


def circles(tree: Mapping[str, str]) -> list[str]:
    """Modules that import each other, in functions too.

    The shop window may be imported from above and is left out.
    """
    inside = tree.keys() - {"geodl"}
    graph = {
        module: {i.target for i in imports(tree[module], tree)} & (inside - {module})
        for module in inside
    }
    wrong = []
    while True:
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            circle = error.args[1]
            wrong.append(" is imported by ".join(circle))
            graph[circle[1]].discard(circle[0])
        else:
            return sorted(wrong)


def strangers(tree: Mapping[str, str]) -> list[str]:
    """Packages that the project does not declare; in the core, all but torch and numpy outside the
    functions of DELAYED.
    """
    wrong = []
    for module, text in tree.items():
        for i in imports(text, tree):
            allowed = DECLARED
            if module == "geodl" or floor(module) <= CORE:
                allowed = (
                    ALWAYS if i.at_top else ALWAYS | DELAYED.get(module, set()) | {"<computed>"}
                )
            if i.package and i.package not in allowed:
                wrong.append(f"{module}:{i.line} imports {i.target}")
    return wrong

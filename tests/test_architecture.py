"""The house stands as drawn: each rule of `tests/rules` holds, and each has a planted fault that it
rejects.
"""

import importlib
import json
import pkgutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from types import SimpleNamespace

import pytest

import geodl
from geodl.domain import DOMAINS, Domain
from geodl.lowering import LOWERINGS
from geodl.lowering.base import Lowering
from geodl.neighborhood.base import Neighborhood
from tests.rules import budgets, classes, imports, words

ROOT = Path(__file__).resolve().parent.parent
TREE = imports.sources(ROOT / "geodl")
TEXTS = TREE | {
    str(path.relative_to(ROOT)): path.read_text()
    for folder in ("tests", "examples")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def loaded(room: str) -> list[object]:
    """Every module of a room, imported."""
    package = importlib.import_module(f"geodl.{room}")
    return [
        importlib.import_module(f"{package.__name__}.{info.name}")
        for info in pkgutil.iter_modules(package.__path__)
    ]


def below(base: type) -> set[str]:
    """The names of all classes of the project below a base."""
    return {c.__name__ for c in classes.everything_below(base) if c.__module__.startswith("geodl.")}


def test_imports_point_strictly_down():
    assert imports.upward(TREE) == []
    assert imports.eager(TREE["geodl"], TREE) == []
    assert imports.taught(TREE["geodl.reference"], TREE) == []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("geodl.group", "from geodl.domain import Grid"),
        ("geodl.group", "def f():\n    import geodl.domain.grid"),
        ("geodl.neighborhood.relation", "from geodl.signal import Signal"),
        ("geodl.neighborhood.window", "from geodl import signal"),
        ("geodl.layer.conv", "import geodl as g"),
        ("geodl.symmetry", "from importlib import import_module\nimport_module('geodl.data')"),
        ("geodl.domain.grid", "from .base import Domain"),
        ("geodl.domain.grid", "from geodl.unheard_of import x"),
        ("geodl.unheard_of", ""),
    ],
)
def test_an_import_upwards_is_found(module, text):
    known = dict.fromkeys(
        ["geodl", "geodl.domain.grid", "geodl.neighborhood.base", "geodl.signal", "geodl.data"], ""
    )
    assert len(imports.upward(known | {module: text})) == 1


def test_an_import_downwards_is_none():
    fine = (
        "import geodl as g\nfrom geodl.signal import Signal\nfrom "
        "geodl.data.cards import card\nimport torch"
    )
    assert (
        imports.upward({"geodl.data.images": fine, "geodl": "from geodl.layer.conv import Conv"})
        == []
    )


def test_an_eager_window_is_found():
    window = (
        "from geodl.layer.conv import Conv\nfrom geodl import models\nimport "
        "geodl.bench\ndef f():\n    import geodl.data"
    )
    assert imports.eager(window, ["geodl.models"]) == [
        "geodl:2 loads geodl.models",
        "geodl:3 loads geodl.bench",
    ]


def test_a_taught_reference_is_found():
    text = (
        "from geodl.neighborhood.edges import Edges, "
        "Neighborhood\nfrom geodl.errors import GeodlError"
    )
    assert imports.taught(text, TREE) == [
        "geodl.reference:1 knows geodl.neighborhood.edges.Neighborhood"
    ]


def test_no_imports_in_circles():
    assert imports.circles(TREE) == []


def test_a_circle_is_found():
    tree = {
        "geodl.domain.a": "import geodl.domain.b",
        "geodl.domain.b": "def f():\n    from geodl.domain import a",
    }
    assert len(imports.circles(tree)) == 1
    assert imports.circles(tree | {"geodl.domain.a": "import geodl"}) == []


def test_packages_are_declared_and_the_core_is_light():
    assert imports.strangers(TREE) == []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("geodl.domain.convert", "import scipy.sparse"),
        ("geodl.layer.conv", "def f():\n    import networkx"),
        ("geodl.data.images", "import pandas"),
        ("geodl", "import matplotlib"),
    ],
)
def test_a_stranger_is_found(module, text):
    assert len(imports.strangers({module: text})) == 1


def test_import_geodl_loads_torch_and_little_else():
    script = (
        "import json, sys, torch; old = set(sys.modules); import "
        "geodl; print(json.dumps([*{*sys.modules} - old]))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    new = json.loads(answer.stdout)
    heavy = {
        "scipy",
        "networkx",
        "torch_geometric",
        "lightning",
        "matplotlib",
        "numba",
        "sklearn",
        "skimage",
        "rich",
        "pooch",
        "jsonargparse",
    }
    assert "geodl.domain.grid" in new
    assert heavy & {name.split(".")[0] for name in new} == set()
    assert [
        name for name in new if imports.room(name) in imports.LAZY and name.startswith("geodl.")
    ] == []


@pytest.mark.parametrize("room", sorted(room for room in imports.LAZY if f"geodl.{room}" in TREE))
def test_lazy_rooms_open_on_first_use(room):
    assert getattr(geodl, room).__name__ == f"geodl.{room}"


def test_budgets():
    assert len(TEXTS) > 200
    assert [wrong for name, text in TEXTS.items() for wrong in budgets.too_long(name, text)] == []


def test_what_is_over_budget_is_found():
    long_function = "def f():\n" + "    x = 1\n" * 50
    assert budgets.too_long("a", "x = 1\n" * 401) == ["a has 401 lines"]
    assert budgets.too_long("a", long_function) == ["a:1 f has 51 lines"]
    assert budgets.too_long("a", f"x = '{'y' * 95}'") == ["a:1 has 101 characters"]


def test_every_domain_and_lowering_is_registered():
    loaded("domain")
    made = [c for c in classes.concrete(Domain) if c.__module__.startswith("geodl.")]
    assert len(made) >= 7
    assert classes.unregistered(made, DOMAINS) == []
    lowerings = [
        x for module in loaded("lowering") for x in vars(module).values() if isinstance(x, Lowering)
    ]
    assert len(lowerings) >= 7
    assert (
        classes.unregistered(
            lowerings, [entry for entries in LOWERINGS.values() for entry in entries]
        )
        == []
    )


def test_edges_is_the_last_resort_of_every_verb():
    assert set(LOWERINGS) == {"convolve", "attend", "message", "recur", "pool"}
    assert classes.not_last(LOWERINGS) == []


def test_what_is_unregistered_is_found():
    class Base(ABC):
        @abstractmethod
        def f(self): ...

    class Middle(Base): ...

    class End(Middle):
        def f(self): ...

    assert classes.concrete(Base) == {End}
    assert len(classes.unregistered([End], [])) == 1
    edges, fast = SimpleNamespace(name="edges"), SimpleNamespace(name="fast")
    assert len(classes.unregistered([SimpleNamespace(name="fast")], [edges, fast])) == 1
    assert classes.not_last({"pool": (fast, edges)}) == []
    assert (
        len(classes.not_last({"pool": (edges, fast), "recur": (), "attend": (fast, fast, edges)}))
        == 3
    )


@pytest.mark.parametrize(("base", "room"), [(Domain, "domain"), (Neighborhood, "neighborhood")])
def test_nobody_asks_for_a_class(base, room):
    loaded(room)
    outside = {module: text for module, text in TREE.items() if imports.room(module) != room}
    assert len(below(base)) >= 7
    assert [
        wrong
        for module, text in outside.items()
        for wrong in classes.class_checks(module, text, below(base))
    ] == []


@pytest.mark.parametrize(
    "question",
    [
        "isinstance(x, Grid)",
        "isinstance(x, (int, Grid))",
        "isinstance(x, Chain | domain.Grid)",
        "isinstance(x, g.Grid)",
        "issubclass(type(x), Grid)",
        "type(x) is Grid",
        "x.__class__ == domain.grid.Grid",
        "type(x) in {Grid, int}",
        "match x:\n    case Grid():\n        y = 1",
        "run.register(Grid)",
    ],
)
def test_a_class_check_is_found(question):
    text = "import geodl as g\nfrom geodl import domain\nfrom geodl.domain import Grid\n" + question
    assert len(classes.class_checks("a", text, {"Grid"})) == 1


def test_other_questions_are_none():
    text = (
        "import geodl as g\nfrom pyg import Grid\nisinstance(x, "
        "Grid)\nisinstance(x, g.Domain)\nx.lattice is None\ng.Grid(3)"
    )
    assert classes.class_checks("a", text, {"Grid"}) == []


def test_a_class_is_abstract_or_final():
    assert classes.half_abstract(TREE) == []


def test_a_half_abstract_class_is_found():
    abstract = "class A(ABC):\n    @abstractmethod\n    def f(self): ...\n"
    done = "class B(A):\n    def f(self): ...\n"
    errors = "class E(ValueError): ...\nclass F(E): ...\nclass P(Protocol): ...\nclass Q(P): ...\n"
    assert classes.half_abstract({"a": abstract, "b": done + errors}) == []
    assert classes.half_abstract({"a": abstract, "b": done, "c": "class C(m.B[int]): ..."}) == [
        "B is inherited from and leaves nothing open"
    ]


def tracked() -> list[Path]:
    """What git knows, or would know after `git add`."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: which files are ours is unknown")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in answer.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_says_what_is_not_ours():
    texts = {
        str(path.relative_to(ROOT)): path.read_bytes().decode(errors="replace")
        for path in tracked()
    }
    assert "pyproject.toml" in texts
    assert [wrong for name, text in texts.items() for wrong in words.not_ours(name, text)] == []


@pytest.mark.parametrize(
    "parts",
    [
        ("see /ho", "me/ada"),
        ("open('/t", "mp/x')"),
        ("C:", "\\Users\\ada"),
        ("from py", "pi.org"),
        ("# TO", "DO later"),
    ],
)
def test_what_is_not_ours_is_found(parts):
    assert len(words.not_ours("a", "".join(parts))) == 1
    assert (
        words.not_ours("a", "https://example.org/home/x, $HOME/tmp/x, /runs/, arXiv:1602.07576")
        == []
    )

"""How dense the code may be: every room that is done keeps the bounds of `tests/rules/density.py`,
and each of its checks has a planted fault that it rejects.
"""

from pathlib import Path

import pytest

from tests.rules import density, imports

TREE = imports.sources(Path(__file__).resolve().parent.parent / "geodl")

# Rooms whose density is held; "core" is floors 0 to 6 together. The reference alone is not in it:
# its
# four signatures are long, and there are few statements beside them.
CLEAN = {
    "",
    "bench",
    "cli",
    "core",
    "data",
    "domain",
    "errors",
    "files",
    "group",
    "interop",
    "layer",
    "lowering",
    "models",
    "neighborhood",
    "signal",
    "symmetry",
    "testing",
    "tour",
    "train",
    "verify",
    "viz",
}


@pytest.mark.parametrize("room", sorted(CLEAN))
def test_density(room):
    assert density.judge_room(room, TREE) == []


def test_tokens_are_what_a_reader_reads():
    text = '"""Of a module."""\n\nx = f"{a if b else c} {d}" + "text"  # a reason\n'
    assert density.measure(text) == density.Measure(
        tokens=5, statements=1, ternaries=1, long=0, comments=1
    )


def test_a_statement_owns_what_no_inner_statement_owns():
    text = (
        "@decorate(1)\n"
        "def f(x):\n"
        "    try:\n"
        "        return g(x)\n"
        "    except KeyError:\n"
        "        raise\n"
        "    finally:\n"
        "        if x == 'ä': y = 2\n"
    )
    own = [statement.tokens for statement in density.statements(text)]
    assert own == [5 + 6, 2 + 2, 5, 3, 1, 5, 3]
    cases = "match x:\n    case [1, a] if a:\n        y = 1\n"
    assert [statement.tokens for statement in density.statements(cases)] == [4, 8, 3]


def test_what_comments_do_not_say_is_not_counted():
    silent = (
        "x = 1  # type: ignore\ny = 2  # noqa: F401 - why\n# pyright: basic\n# ------\n# fmt: on\n"
    )
    assert density.comment_lines(silent) == 0
    assert density.comment_lines("# One line\n# and another.\nx = 1  # and a third\n") == 3


@pytest.mark.parametrize(
    "text",
    [
        "f(a if b else c)",
        "f(x=a if b else c)",
        "f(lambda: a if b else c)",
        "@f(a if b else c)\ndef g(): ...",
        "x = f'{a if b else c}'",
        "x = [a if b else c for d in e]",
        "x = {a for d in (a if b else c)}",
        "x = {k: a for k in e if (a if b else c)}",
        "for x in f(a if b else c):\n    pass",
        "x = (a if b else c) + (d if e else f)",
        "x = a if b else c if d else e",
        "def f():\n    match x:\n        case y if g(a if b else c):\n            pass",
    ],
)
def test_a_misplaced_ternary_is_found(text):
    assert len(density.misplaced("a", text)) == 1


def test_a_ternary_of_its_own_is_none():
    text = "def f(x=a if b else c):\n    y = a if b else c\n    return a if b else c\nf(a)(b)\n"
    assert density.misplaced("a", text) == []
    assert density.misplaced("a", "x = f if a else g\nif (a if b else c):\n    pass\n") == []


def test_what_is_too_dense_is_found():
    words = ["# says why"] * 4
    plain = ["x = 1"] * 99
    long = "x = [" + "1, " * 18 + "1]"
    assert density.measure(long).long == 1
    assert density.measure(long.replace("1, ", "", 1)).long == 0
    clean = "\n".join([*plain, *words, long])
    assert density.too_dense("a", density.measure(clean), core=True) == []
    faults = {
        "a has 2.0 long statements per 100": [*plain[1:], *words, long, long],
        "a has 3.0 comment lines per 100 statements": [*plain, *words[1:], long],
        "a has 3.3 ternaries per 1,000 tokens": [*plain, *words, "y = a if b else c"],
    }
    for fault, lines in faults.items():
        assert density.too_dense("a", density.measure("\n".join(lines)), core=True) == [fault]
    assert density.too_dense("a", density.measure(long), core=False) == []
    assert density.judge_room("viz", {"geodl.viz.a": "f(a if b else c)"}) == [
        "geodl.viz.a:1 has a ternary inside a call's argument",
        "viz has 125.0 ternaries per 1,000 tokens",
    ]
    core = density.judge_room("core", {"geodl.layer.a": long, "geodl.viz.a": "a if b else c"})
    assert core == [
        "core has 100.0 long statements per 100",
        "core has 0.0 comment lines per 100 statements",
    ]

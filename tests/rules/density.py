"""How dense the code is: ternaries, long statements and comments, by file, by room and over the
core.

    python -m tests.rules.density            # every room, then the core
    python -m tests.rules.density layer viz  # these rooms file by file, with what is wrong in them

What is counted:

* A *token* is one of Python's tokens that a reader reads: names, keywords, numbers, operators,
  brackets, strings (one token each, an f-string too). Comments, line ends, indentation and
  docstrings are none.
* A *statement* is a node `ast.stmt`, an `except` clause or a `case`; docstrings are none. Its *own*
  tokens are those that belong to no statement inside it: all of a simple statement, the header of a
  compound one (with its decorators and the words `else:` and `finally:`).
* A *comment line* is a line with a comment that says something in words. Pragmas (`# type:`,
  `# pyright:`, `# noqa`, `# fmt:`, `# pragma:`) and lines of dashes are none.
* A *ternary* is `a if c else b`.
"""

import ast
import bisect
import io
import re
import sys
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.rules import imports

LONG = 40  # tokens; a statement with more is long
TERNARIES = 1.8  # the most per 1,000 tokens
LONG_SHARE = 1.0  # the most long statements per 100
COMMENTS = 4.0  # the fewest comment lines per 100 statements, where kernels and algorithms are
CORE_ROOMS = tuple(room for room, floor in imports.FLOORS.items() if floor <= imports.CORE)

PRAGMA = re.compile(r"#\s*(type|pyright|noqa|fmt|pragma)\b")
WORD = re.compile(r"[A-Za-z]{2}|\d")
UNREAD = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
FSTRING_START = getattr(tokenize, "FSTRING_START", None)  # Python 3.12 takes f-strings apart
FSTRING_END = getattr(tokenize, "FSTRING_END", None)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

Place = tuple[int, int]  # line from 1, column in characters from 0


class Measure(NamedTuple):
    """What was counted in a text, or over several.

    Attributes:
        tokens: all tokens.
        statements: all statements.
        ternaries: all ternaries.
        long: statements with more than LONG tokens of their own.
        comments: comment lines.
    """

    tokens: int
    statements: int
    ternaries: int
    long: int
    comments: int

    @property
    def ternaries_per_1000(self) -> float:
        return 1000 * self.ternaries / max(1, self.tokens)

    @property
    def long_per_100(self) -> float:
        return 100 * self.long / max(1, self.statements)

    @property
    def comments_per_100(self) -> float:
        return 100 * self.comments / max(1, self.statements)


class Statement(NamedTuple):
    """A statement's extent and the number of its own tokens."""

    start: Place
    end: Place
    tokens: int


def read_tokens(text: str) -> list[tokenize.TokenInfo]:
    """The tokens and comments of a text; an f-string is one token under every version of Python."""
    found: list[tokenize.TokenInfo] = []
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == FSTRING_END:
            depth -= 1
            continue
        if depth == 0:
            found.append(token)
        if token.type == FSTRING_START:
            depth += 1
    return found


def is_docstring(node: ast.AST) -> bool:
    """Whether a statement is a string on its own: a docstring, or one that documents a field."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def start_of(node: ast.AST) -> Place:
    """Where a node begins: at its first decorator if it has one. A `case` begins at its pattern,
    for it has no position of its own.
    """
    if isinstance(node, ast.match_case):
        return node.pattern.lineno, node.pattern.col_offset
    assert isinstance(node, ast.stmt | ast.ExceptHandler)
    decorators = getattr(node, "decorator_list", [])
    if decorators:
        return decorators[0].lineno, node.col_offset
    return node.lineno, node.col_offset


def end_of(node: ast.AST) -> Place:
    """Where a node ends."""
    last = node.body[-1] if isinstance(node, ast.match_case) else node
    assert isinstance(last, ast.stmt | ast.ExceptHandler)
    return last.end_lineno or 0, last.end_col_offset or 0


def statement_nodes(tree: ast.AST) -> list[ast.AST]:
    """All statements of a tree in the order of their starts, an outer one before an inner one."""
    kinds = (ast.stmt, ast.ExceptHandler, ast.match_case)
    nodes = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    return sorted(nodes, key=lambda node: (start_of(node), [-x for x in end_of(node)]))


def characters(text: str, place: Place) -> Place:
    """A place of `ast`, whose columns are bytes, as one of `tokenize`, whose columns are
    characters.
    """
    line, column = place
    return line, len(text.splitlines()[line - 1].encode()[:column].decode())


def statements(text: str) -> list[Statement]:
    """Every statement of a text with the number of its own tokens."""
    nodes = statement_nodes(ast.parse(text))
    starts = [start_of(node) for node in nodes]
    ends = [end_of(node) for node in nodes]
    if not text.isascii():
        starts = [characters(text, place) for place in starts]
        ends = [characters(text, place) for place in ends]
    counts = [0] * len(nodes)
    for token in read_tokens(text):
        if token.type in UNREAD:
            continue
        # Statements are nested or apart, so the innermost one around a token is the last that
        # begins before it and has not ended.
        k = bisect.bisect_right(starts, token.start) - 1
        while k >= 0 and ends[k] < token.end:
            k -= 1
        if k >= 0:
            counts[k] += 1
    return [
        Statement(start, end, count)
        for node, start, end, count in zip(nodes, starts, ends, counts, strict=True)
        if not is_docstring(node)
    ]


def comment_lines(text: str) -> int:
    """How many lines carry a comment in words."""
    comments = [token for token in read_tokens(text) if token.type == tokenize.COMMENT]
    said = [c for c in comments if WORD.search(c.string) and not PRAGMA.match(c.string)]
    return len(said)


def ternaries(tree: ast.AST) -> list[ast.IfExp]:
    """All ternaries of a tree."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.IfExp)]


def measure(text: str) -> Measure:
    """The counts of one text.

    >>> measure("x = 1 if y else 2  # both are cheap")
    Measure(tokens=7, statements=1, ternaries=1, long=0, comments=1)
    """
    found = statements(text)
    return Measure(
        tokens=sum(statement.tokens for statement in found),
        statements=len(found),
        ternaries=len(ternaries(ast.parse(text))),
        long=sum(statement.tokens > LONG for statement in found),
        comments=comment_lines(text),
    )


def total(measures: list[Measure]) -> Measure:
    """The counts of several texts together."""
    return Measure(*(sum(column) for column in zip(Measure(0, 0, 0, 0, 0), *measures, strict=True)))


def own_ternaries(
    node: ast.AST, within: tuple[str, ...] = ()
) -> Iterator[tuple[ast.IfExp, tuple[str, ...]]]:
    """The ternaries of one statement, without those of statements inside it, each with the kinds of
    expression around it.
    """
    if isinstance(node, ast.IfExp):
        yield node, within
    for name, value in ast.iter_fields(node):
        children = value if isinstance(value, list) else [value]
        inside = within
        if isinstance(node, ast.Call) and name in ("args", "keywords"):
            inside = (*within, "a call's argument")
        elif isinstance(node, ast.JoinedStr):
            inside = (*within, "an f-string")
        elif isinstance(node, COMPREHENSIONS):
            inside = (*within, "a comprehension")
        for child in children:
            is_node = isinstance(child, ast.AST)
            if is_node and not isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
                yield from own_ternaries(child, inside)


def misplaced(name: str, text: str) -> list[str]:
    """Ternaries inside a call's argument, an f-string or a comprehension, and statements with more
    than one.
    """
    wrong = []
    for statement in statement_nodes(ast.parse(text)):
        found = list(own_ternaries(statement))
        for ternary, within in found:
            if within:
                wrong.append(f"{name}:{ternary.lineno} has a ternary inside {within[-1]}")
        if len(found) > 1:
            line = start_of(statement)[0]
            wrong.append(f"{name}:{line} has {len(found)} ternaries in a statement")
    return wrong


def long_statements(name: str, text: str) -> list[str]:
    """Where the long statements are."""
    return [
        f"{name}:{statement.start[0]} has {statement.tokens} tokens in a statement"
        for statement in statements(text)
        if statement.tokens > LONG
    ]


def too_dense(name: str, counts: Measure, *, core: bool) -> list[str]:
    """The bounds that counts do not keep.

    Args:
        name: of what was counted.
        counts: of a room, or of the core.
        core: whether it lies on floors 0 to 6, where kernels and algorithms are. Above, long
            signatures of models and recipes are no fault, and there is less to derive: only
            ternaries are bounded.
    """
    wrong = []
    if counts.ternaries_per_1000 > TERNARIES:
        wrong.append(f"{name} has {counts.ternaries_per_1000:.1f} ternaries per 1,000 tokens")
    if core and counts.long_per_100 > LONG_SHARE:
        wrong.append(f"{name} has {counts.long_per_100:.1f} long statements per 100")
    if core and counts.comments_per_100 < COMMENTS:
        wrong.append(f"{name} has {counts.comments_per_100:.1f} comment lines per 100 statements")
    return wrong


def rooms(tree: Mapping[str, str]) -> dict[str, list[str]]:
    """The modules of each room."""
    found: dict[str, list[str]] = {}
    for module in tree:
        found.setdefault(imports.room(module), []).append(module)
    return found


def judge_room(room: str, tree: Mapping[str, str]) -> list[str]:
    """Everything that is too dense in a room, or in "core", which is all of floors 0 to 6."""
    chosen = CORE_ROOMS if room == "core" else (room,)
    modules = [module for module in tree if imports.room(module) in chosen]
    counts = total([measure(tree[module]) for module in modules])
    placed = [wrong for module in modules for wrong in misplaced(module, tree[module])]
    return placed + too_dense(room, counts, core=room == "core" or room in CORE_ROOMS)


HEAD = (
    f"{'':28} {'tokens':>7} {'statements':>11} {'ternaries /1000':>16} "
    f"{'over ' + str(LONG) + ' tokens %':>17} {'comments /100':>14}"
)


def line(name: str, counts: Measure) -> str:
    """One line of the table."""
    return (
        f"{name:28} {counts.tokens:7} {counts.statements:11} {counts.ternaries_per_1000:16.1f} "
        f"{counts.long_per_100:17.1f} {counts.comments_per_100:14.1f}"
    )


def main(asked: list[str]) -> None:
    """Print the table."""
    tree = imports.sources(Path(__file__).resolve().parents[2] / "geodl")
    print(HEAD)
    everything = rooms(tree)
    for room in asked or everything:
        modules = everything[room]
        if asked:
            for module in modules:
                print(line("  " + module.removeprefix("geodl."), measure(tree[module])))
        print(line(room or "geodl", total([measure(tree[module]) for module in modules])))
        if asked:
            wrong = [w for module in modules for w in long_statements(module, tree[module])]
            print("\n".join(judge_room(room, tree) + wrong))
    core = [measure(tree[m]) for room in CORE_ROOMS for m in everything.get(room, [])]
    print(line("core (floors 0 to 6)", total(core)))


if __name__ == "__main__":
    main(sys.argv[1:])

"""How long things may be. Raising a number is its own commit, with the reason."""

import ast
import io
import tokenize
from collections.abc import Iterable

FILE, FUNCTION, LINE = 300, 50, 130
CORE_CODE, CORE_TEXT = 3700, 6100
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def extent(node: ast.stmt) -> range:
    """The lines a statement covers."""
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def code_lines(text: str) -> int:
    """Lines that carry code: no blanks, comments or docstrings."""
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type not in NO_CODE]
    lines = {line for t in tokens for line in range(t.start[0], t.end[0] + 1)}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(extent(node))
    return len(lines)


def too_long(name: str, text: str) -> list[str]:
    """Files, functions and lines over their budgets."""
    lines = text.splitlines()
    wrong = [f"{name} has {len(lines)} lines"] if len(lines) > FILE else []
    wrong += [f"{name}:{k} has {len(line)} characters" for k, line in enumerate(lines, 1) if len(line) > LINE]
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return wrong + [f"{name}:{f.lineno} {f.name} has {len(extent(f))} lines" for f in functions if len(extent(f)) > FUNCTION]


def too_large(core: Iterable[str]) -> list[str]:
    """The core as a whole: its code, and its text with blanks, comments and docstrings."""
    texts = list(core)
    code, whole = sum(map(code_lines, texts)), sum(len(text.splitlines()) for text in texts)
    wrong = [f"the core has {code} lines of code"] if code > CORE_CODE else []
    return wrong + ([f"the core has {whole} lines"] if whole > CORE_TEXT else [])

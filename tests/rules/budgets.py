"""How long things may be."""

import ast
import re

FILE, FUNCTION, LINE = 400, 50, 100
PRAGMA = re.compile(r"# (pyright|type): ")


def extent(node: ast.stmt) -> range:
    """The lines a statement covers."""
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function without its docstring: what is said of it costs nothing."""
    docstring = ast.get_docstring(function)
    if docstring is None:
        return len(extent(function))
    return len(extent(function)) - len(extent(function.body[0]))


def too_long(name: str, text: str) -> list[str]:
    """Files, functions and lines over their budgets."""
    lines = text.splitlines()
    wrong = [f"{name} has {len(lines)} lines"] if len(lines) > FILE else []
    for k, line in enumerate(lines, 1):
        if len(line) > LINE and not PRAGMA.search(line):
            wrong.append(f"{name}:{k} has {len(line)} characters")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length(node) > FUNCTION:
            wrong.append(f"{name}:{node.lineno} {node.name} has {length(node)} lines")
    return wrong

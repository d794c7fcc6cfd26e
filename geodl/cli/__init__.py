"""The command line: `geodl tour | verify | train | generate | translate | draw | explain | data |
bench`.
"""

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geodl.cli import commands, sequences
from geodl.cli.parser import parser
from geodl.errors import GeodlError, nearest

BAD_INPUT, INTERRUPTED = 2, 130
COMMANDS = commands.COMMANDS | sequences.COMMANDS


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: its words; None takes those of the process.

    Returns:
        0 when all went well, 1 when something that was checked does not hold, 130 after Ctrl-C.

    Raises:
        SystemExit: with 0 after `--help`, with 2 for bad input, said in one line on stderr.

    >>> main(["data", "get", "karate"])
    karate: nothing to download
    0
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        asked = _parsed(words)
        command = asked[asked.command]
        _check_file(command)
        return COMMANDS[asked.command](command)
    except GeodlError as error:
        print(f"geodl: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(BAD_INPUT) from error
    except KeyboardInterrupt as error:
        print(f"\ninterrupted{_continuation(words, error)}", file=sys.stderr)
        return INTERRUPTED


def _parsed(words: list[str]) -> Any:
    from argparse import ArgumentError

    root, leaves = parser()
    try:
        return root.parse_args(words)
    except ArgumentError as error:
        raise GeodlError(*_complaint(str(error), words, leaves)) from error


def _check_file(asked: Any) -> None:
    """Refuse a file that cannot be written before the work that fills it."""
    for given in (
        asked,
        asked.get(asked.get("recipe", "")) or {},
        asked.get(asked.get("picture", "")) or {},
    ):
        for option in ("json", "attention", "to"):
            path: Path | None = given.get(option)
            if path is not None and (path.is_dir() or not path.resolve().parent.is_dir()):
                found = "a folder of that name" if path.is_dir() else "no folder to put it in"
                raise GeodlError(f"--{option} {path}", found, "give a file in a folder that exists")


def _complaint(message: str, words: list[str], leaves: dict[str, Any]) -> tuple[str, str, str]:
    """What argparse says, with the nearest name that exists."""
    if choice := re.search(r"(\w+): invalid choice: '(.*?)' \(choose from (.*)\)", message):
        kind, given, known = choice.groups()
        return (
            f"the {kind} {given!r}",
            f"no {kind} of that name",
            nearest(given, re.findall(r"[\w-]+", known)),
        )
    if unknown := re.search(r"unrecognized arguments: (.*)", message):
        path = max(
            (leaf for leaf in leaves if words[: len(leaf.split())] == leaf.split()),
            key=len,
            default="",
        )
        options = re.findall(r"--[\w.-]+", leaves[path].format_help()) if path else ["--help"]
        first = unknown[1].split()[0]
        advice = (
            nearest(first.split("=")[0], set(options))
            if first.startswith("-")
            else f"see `geodl {path} --help`"
        )
        return (
            " ".join(["geodl", *words]),
            f"{first!r}, which {f'geodl {path}'.strip()} does not take",
            advice,
        )
    if value := re.search(
        r'Parser key "(.+?)":.*(?:Given|Got) value: ([^\n]*)', message, re.DOTALL
    ):
        choices = re.search(r"Literal\[(.*?)\]", message)
        advice = (
            nearest(value[2], re.findall(r"'(.+?)'", choices[1]))
            if choices
            else "--help says what it takes"
        )
        return f"--{value[1]} {value[2]}", "a value that it cannot have", advice
    if missing := re.search(r'expected "(?:\w+\.)?(\w+)" to be one of', message):
        return (
            " ".join(["geodl", *words]),
            f"no {missing[1]}",
            f"`{' '.join(['geodl', *words])} --help` lists them",
        )
    return " ".join(["geodl", *words]), message, "add --help to see what there is"


def _continuation(words: list[str], error: KeyboardInterrupt) -> str:
    """The command that continues an interrupted run."""
    folder = getattr(error, "folder", None)
    return (
        f"; to continue: geodl train {words[1]} --resume {shlex.quote(str(folder))}"
        if folder
        else ""
    )

"""The command line: `geodl tour | verify | train | compare | generate | translate | detect | draw |
explain | data | bench`.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from geodl.cli import commands, detection, sequences
from geodl.cli.asked import Asked
from geodl.errors import GeodlError
from geodl.files import in_words

BAD_INPUT, INTERRUPTED, NOBODY_READS = 2, 130, 141
FILES = ("json", "attention", "epochs", "to")  # options that name a file to be written
COMMANDS = commands.COMMANDS | sequences.COMMANDS | detection.COMMANDS


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: its words; None takes those of the process.

    Returns:
        0 when all went well, 1 when something that was checked does not hold, 130 after Ctrl-C,
        141 when nobody reads what is printed, as in a pipe to `head`.

    Raises:
        SystemExit: with 0 after `--help`; with 2 for bad input and for what the system refuses,
            said in one line on stderr.

    >>> main(["data", "get", "karate"])
    karate: nothing to download
    0
    """
    if argv is None:
        argv = sys.argv[1:]
    words = list(argv)
    try:
        return _run(words)
    except GeodlError as error:
        print(f"geodl: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(BAD_INPUT) from error
    except BrokenPipeError:
        return NOBODY_READS
    except KeyboardInterrupt as error:
        print(f"\ninterrupted{_continuation(words, error)}", file=sys.stderr)
        return INTERRUPTED


def _run(words: list[str]) -> int:
    """The exit status of a command, once all that it prints is printed."""
    asked = _parse(words)
    _check_files(asked)
    try:
        status = COMMANDS[asked.command](asked)
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        raise
    except OSError as error:
        _drop_output()
        with in_words(" ".join(["geodl", *words]), "make room or rights there"):
            raise error
    return status


def _drop_output() -> None:
    """Leave what could not be printed: Python would try again when it ends, and complain."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parse(words: list[str]) -> Asked:
    """What was asked for.

    Raises:
        GeodlError: if a word is not a command, or an option or a value does not exist.
    """
    from geodl.cli.tree import tree

    parser = tree(words)
    values = parser.parse_args(words)
    given = parser.parse_args(words, defaults=False)
    path = []
    while parser.commands:
        name = values.get(parser.kind)
        if name is None:
            asked = " ".join(["geodl", *words])
            raise GeodlError(asked, f"no {parser.kind}", f"`{asked} --help` lists them")
        path.append(name)
        values, given = values[name], given[name]
        parser = parser.commands[name]
    command, *rest = path
    return Asked(command, "".join(rest), values, given)


def _check_files(asked: Asked) -> None:
    """Refuse a file that cannot be written before the work that fills it."""
    for option in FILES:
        path: Path | None = asked.values.get(option)
        if path is None:
            continue
        do = "give a file in a folder that exists"
        if path.is_dir():
            raise GeodlError(f"--{option} {path}", "a folder of that name", do)
        if not path.resolve().parent.is_dir():
            raise GeodlError(f"--{option} {path}", "no folder to put it in", do)


def _continuation(words: list[str], error: KeyboardInterrupt) -> str:
    """The command that continues an interrupted run."""
    folder = getattr(error, "folder", None)
    if folder is None:
        return ""
    return f"; to continue: geodl train {words[1]} --resume {shlex.quote(str(folder))}"

"""The command line: `geodl tour | verify | train | explain | data | bench`."""

import ctypes
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from geodl import __version__
from geodl.errors import GeodlError, nearest

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
Show = Callable[..., None]


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
        _check_json(command)
        return COMMANDS[asked.command](command)
    except GeodlError as error:
        print(f"geodl: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(BAD_INPUT) from error
    except KeyboardInterrupt as error:
        print(f"\ninterrupted{_continuation(words, error)}", file=sys.stderr)
        return INTERRUPTED


def _parsed(words: list[str]) -> Any:
    from argparse import ArgumentError

    parser, leaves = _parser()
    try:
        return parser.parse_args(words)
    except ArgumentError as error:
        raise GeodlError(*_complaint(str(error), words, leaves)) from error


def _check_json(asked: Any) -> None:
    """Refuse a file that cannot be written before the work that fills it."""
    given = asked if "json" in asked else asked.get(asked.get("recipe", ""), {})
    path = given.get("json") if given else None
    if path is not None and (path.is_dir() or not path.resolve().parent.is_dir()):
        found = "a folder of that name" if path.is_dir() else "no folder to put it in"
        raise GeodlError(f"--json {path}", found, "give a file in a folder that exists")


def _complaint(message: str, words: list[str], leaves: dict[str, Any]) -> tuple[str, str, str]:
    """What argparse says, with the nearest name that exists."""
    if choice := re.search(r"(\w+): invalid choice: '(.*?)' \(choose from (.*)\)", message):
        kind, given, known = choice.groups()
        return f"the {kind} {given!r}", f"no {kind} of that name", nearest(given, re.findall(r"[\w-]+", known))
    if unknown := re.search(r"unrecognized arguments: (.*)", message):
        path = max((leaf for leaf in leaves if words[: len(leaf.split())] == leaf.split()), key=len, default="")
        options = re.findall(r"--[\w.-]+", leaves[path].format_help()) if path else ["--help"]
        first = unknown[1].split()[0]
        advice = nearest(first.split("=")[0], set(options)) if first.startswith("-") else f"see `geodl {path} --help`"
        return " ".join(["geodl", *words]), f"{first!r}, which {f'geodl {path}'.strip()} does not take", advice
    if value := re.search(r'Parser key "(.+?)":.*(?:Given|Got) value: ([^\n]*)', message, re.DOTALL):
        choices = re.search(r"Literal\[(.*?)\]", message)
        advice = nearest(value[2], re.findall(r"'(.+?)'", choices[1])) if choices else "--help says what it takes"
        return f"--{value[1]} {value[2]}", "a value that it cannot have", advice
    if missing := re.search(r'expected "(?:\w+\.)?(\w+)" to be one of', message):
        return " ".join(["geodl", *words]), f"no {missing[1]}", f"`{' '.join(['geodl', *words])} --help` lists them"
    return " ".join(["geodl", *words]), message, "add --help to see what there is"


def _parser() -> tuple[Any, dict[str, Any]]:
    """The parser, and the parsers of the commands by what is typed to reach them."""
    try:
        from jsonargparse import ArgumentParser
    except ImportError as error:
        raise GeodlError("the command line", "jsonargparse is not installed", 'pip install "geodl[all]"') from error
    from geodl.train import RECIPES

    about = "One message-passing layer on grids, chains, complete graphs, graphs and groups."
    root = ArgumentParser(prog="geodl", description=about, exit_on_error=False, allow_abbrev=False, version=__version__)
    commands = root.add_subcommands(dest="command", required=True)
    leaves: dict[str, Any] = {}

    def leaf(group: Any, path: str, text: str) -> Any:
        leaves[path] = ArgumentParser(description=text, allow_abbrev=False)
        group.add_subcommand(path.split()[-1], leaves[path], help=text)
        return leaves[path]

    def branch(path: str, text: str, dest: str) -> Any:
        return leaf(commands, path, text).add_subcommands(dest=dest, required=True)

    tour = leaf(commands, "tour", "Everything on embedded data, in about two minutes, with a report and pictures.")
    tour.add_argument("folder", type=Path, nargs="?", default=Path("geodl-tour"), help="for the report; geodl-tour if not given")
    verify = leaf(commands, "verify", "Prove the claims: errors of values and gradients beside their bounds.")
    verify.add_argument("rows", nargs="*", help="numbers of claims, as 05; all if none is given")
    verify.add_argument("--json", type=Path | None, default=None, help="write the rows to this file")
    recipes = branch("train", "Run a recipe: data, model, protocol, and the paper's number beside ours.", "recipe")
    for recipe in RECIPES.values():
        _add_options(leaf(recipes, f"train {recipe.name}", f"Train {recipe.summary}."), recipe)
    explain = leaf(commands, "explain", "Tell what runs where and why in a recipe's model, and prove its symmetry.")
    explain.add_argument("recipe", choices=list(RECIPES), help="which recipe")
    data = branch("data", "The data sets: list them, get them, check what is on disk.", "action")
    leaf(data, "data list", "The data sets that have a card.")
    for action, text in (("get", "Download data sets, each file verified."), ("check", "Say what is on disk, verified.")):
        leaf(data, f"data {action}", text).add_argument("names", nargs="*", help="data sets; all if none is given")
    bench = leaf(commands, "bench", "Time our kernels beside their peers; exits with 1 if a row is out of reach.")
    bench.add_argument("rows", nargs="*", help="rows of the table; all if none is given")
    bench.add_argument("--json", type=Path | None, default=None, help="write the rows to this file")
    return root, leaves


def _add_options(parser: Any, recipe: Any) -> None:
    """The options of `geodl train RECIPE`, with the recipe's own values as defaults."""
    parser.add_argument("--config", action="config", help="a file of options, as config.yaml in a run folder")
    parser.add_argument("--seeds", type=int | None, default=None, help="repeat with seeds 0 to N - 1 (one if not given)")
    parser.add_argument("--run", type=Path | None, default=None, help="the run folder (a new one under runs/ if not given)")
    parser.add_argument("--resume", type=Path | None, default=None, help="the folder of an interrupted run, to continue it")
    parser.add_argument("--json", type=Path | None, default=None, help="write the result to this file")
    if recipe.batch_size is not None:
        parser.add_argument("--batch_size", type=int, default=recipe.batch_size, help="examples a step")
    parser.add_class_arguments(type(recipe.optimizer), "optimizer", default=asdict(recipe.optimizer))
    parser.add_class_arguments(type(recipe.trainer), "trainer", default=asdict(recipe.trainer))
    parser.add_function_arguments(recipe.model, "model")


def _tour(asked: Any) -> int:
    from geodl import tour

    return tour.run(asked.folder)


def _verify(asked: Any) -> int:
    from geodl import verify

    with _progress() as show:
        rows = verify.run(rows=tuple(asked.rows), progress=lambda row: show(row.claim))
    print(verify.table(rows))
    if asked.json:
        verify.save(rows, asked.json)
    return OK if all(row.passed for row in rows) else FAILED


def _train(asked: Any) -> int:
    from geodl.train import RECIPES, Optimizer, Options, TrainerOptions, run

    recipe, given = RECIPES[asked.recipe], asked[asked.recipe]
    optimizer, trainer = Optimizer(**given.optimizer.as_dict()), TrainerOptions(**given.trainer.as_dict())
    options = Options(given.model.as_dict(), optimizer, trainer, given.get("batch_size"))
    if given.resume and given.run:
        raise GeodlError("--run with --resume", "a run that has its folder", "leave --run out")
    _keep_freed_memory()
    with _progress() as show:
        result = run(
            recipe, None if given.resume and options == recipe.options else options,
            seeds=given.seeds, folder=given.run, resume=given.resume, progress=show,
        )  # fmt: skip
    print(result)
    if given.json:
        result.save(given.json)
    return OK


def _continuation(words: list[str], error: KeyboardInterrupt) -> str:
    """The command that continues an interrupted run."""
    folder = getattr(error, "folder", None)
    return f"; to continue: geodl train {words[1]} --resume {shlex.quote(str(folder))}" if folder else ""


def _explain(asked: Any) -> int:
    import geodl as g
    from geodl.train import recipe

    wanted = recipe(asked.recipe)
    model, sample = wanted.build(wanted.options), wanted.sample()
    print(f"{wanted.name}: {wanted.summary}; {sum(p.numel() for p in model.parameters()):,} parameters")
    print(str(g.explain(model, sample)) or "no layer of geodl's in it")
    certificate = g.certify(model, sample.domain)
    if certificate.group is not None:
        print(certificate)
    return OK


def _data(asked: Any) -> int:
    from geodl import data

    if asked.action == "list":
        print("\n".join(f"{name:16} {data.card(name).title}" for name in data.names()))
        return OK
    names = asked[asked.action].names or data.names()
    if asked.action == "get":
        for name in names:
            paths = data.get(name)
            print(f"{name}: " + (f"{len(paths)} files in {paths[0].parent}" if paths else "nothing to download"))
        return OK
    found = [(name, path, state) for name in names for path, state in data.check(name)]
    print("\n".join(f"{name}: {path} {state}" for name, path, state in found) or "nothing to download")
    return OK if all(state == "ok" for _, _, state in found) else FAILED


def _bench(asked: Any) -> int:
    from geodl import bench

    with _progress() as show:
        rows = bench.run(tuple(asked.rows), progress=lambda row: show(f"{row.row}: {row.case}"))
    print(bench.table(rows))
    if asked.json:
        bench.save(rows, asked.json)
    return OK if all(row.reached for row in rows) else FAILED


COMMANDS: dict[str, Callable[[Any], int]] = {
    "tour": _tour, "verify": _verify, "train": _train, "explain": _explain, "data": _data, "bench": _bench,
}  # fmt: skip


@contextmanager
def _progress() -> Iterator[Show]:
    """A bar on a terminal; elsewhere a line now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console, told = Console(), time.monotonic()
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True, refresh_per_second=4) as bar:
            task = bar.add_task("", total=None)
            yield lambda line, done=0, total=None: bar.update(task, description=line, completed=done, total=total)
        return

    def tell(line: str, done: int = 0, total: int | None = None) -> None:
        nonlocal told
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"{line}, step {done} of {total}" if total else line, flush=True)

    yield tell


def _keep_freed_memory() -> None:
    """Have glibc keep the memory that a step frees.

    A training step frees and asks for the same large blocks again; glibc hands each back to the system, and every page of
    it has to be faulted in anew: up to half the time of a step. Done in this command only: a library has no say in it.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None and hasattr(libc, "mallopt"):
        for option in (-3, -1):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
            libc.mallopt(option, 1 << 30)

"""What can be typed."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, final

from geodl import __version__
from geodl.errors import GeodlError


def parser() -> tuple[Any, dict[str, Any]]:
    """The parser, and the parsers of the commands by what is typed to reach them."""
    try:
        tree = _Tree()
    except ImportError as error:
        raise GeodlError(
            "the command line", "jsonargparse is not installed", 'pip install "geodl[all]"'
        ) from error
    _trains(tree)
    _writes(tree)
    _proves(tree)
    return tree.root, tree.leaves


@final
class _Tree:
    """The parsers of all commands, by what is typed to reach them."""

    def __init__(self):
        from jsonargparse import ArgumentParser

        about = "One message-passing layer on grids, chains, complete graphs, graphs and groups."
        self.make = ArgumentParser
        self.root = self.make(
            prog="geodl",
            description=about,
            exit_on_error=False,
            allow_abbrev=False,
            version=__version__,
        )
        self.groups = {"": self.root.add_subcommands(dest="command", required=True)}
        self.leaves: dict[str, Any] = {}

    def leaf(self, path: str, text: str) -> Any:
        """A parser for the words that lead to it."""
        group, _, name = path.rpartition(" ")
        self.leaves[path] = self.make(description=text, allow_abbrev=False)
        self.groups[group].add_subcommand(name, self.leaves[path], help=text)
        return self.leaves[path]

    def branch(self, path: str, text: str, dest: str) -> None:
        """Room for leaves behind a word."""
        self.groups[path] = self.leaf(path, text).add_subcommands(dest=dest, required=True)


def _trains(tree: _Tree) -> None:
    from geodl.train import RECIPES

    tree.branch(
        "train",
        "Run a recipe: data, model, protocol, and the paper's number beside ours.",
        "recipe",
    )
    for recipe in RECIPES.values():
        _add_options(tree.leaf(f"train {recipe.name}", f"Train {recipe.summary}."), recipe)
    explain = tree.leaf(
        "explain", "Tell what runs where and why in a recipe's model, and prove its symmetry."
    )
    explain.add_argument("recipe", choices=list(RECIPES), help="which recipe")


def _writes(tree: _Tree) -> None:
    generate = tree.leaf(
        "generate", "Text from a model that was trained on text, character after character."
    )
    generate.add_argument("run", type=Path, help="the folder of a run, as of shakespeare-gpt")
    generate.add_argument(
        "--prompt",
        type=str,
        default="\n",
        help="what the text begins with; a line break if not given",
    )
    generate.add_argument("--count", type=int, default=300, help="how many characters to add")
    generate.add_argument(
        "--temperature",
        type=float,
        default=0.8,
        help="divides the scores; 0 takes the likeliest character",
    )
    generate.add_argument(
        "--top_k", type=int | None, default=None, help="draw among the k likeliest only"
    )
    generate.add_argument("--seed", type=int, default=0, help="of the draws")
    translate = tree.leaf(
        "translate", "What a model that was trained to rewrite sequences makes of texts."
    )
    translate.add_argument(
        "run", type=Path, help="the folder of a run, as of translate-transformer"
    )
    translate.add_argument("texts", nargs="+", help="sentences, each in quotes")
    translate.add_argument(
        "--attention",
        type=Path | None,
        default=None,
        help="draw who hears whom in the first to this file",
    )
    tree.branch("draw", "Pictures of what runs gave.", "picture")
    lengths = tree.leaf(
        "draw lengths",
        "Accuracy against length: one line for each run, the spread of its seeds around it.",
    )
    lengths.add_argument("runs", nargs="+", type=Path, help="folders of runs, as of reverse-rnn")
    lengths.add_argument("--to", type=Path, required=True, help="the file of the picture")


def _proves(tree: _Tree) -> None:
    tour = tree.leaf(
        "tour", "Everything on embedded data, in about two minutes, with a report and pictures."
    )
    tour.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=Path("geodl-tour"),
        help="for the report; geodl-tour if not given",
    )
    verify = tree.leaf(
        "verify", "Prove the claims: errors of values and gradients beside their bounds."
    )
    verify.add_argument("rows", nargs="*", help="numbers of claims, as 05; all if none is given")
    verify.add_argument(
        "--json", type=Path | None, default=None, help="write the rows to this file"
    )
    tree.branch("data", "The data sets: list them, get them, check what is on disk.", "action")
    tree.leaf("data list", "The data sets that have a card.")
    for action, text in (
        ("get", "Download data sets, each file verified."),
        ("check", "Say what is on disk, verified."),
    ):
        tree.leaf(f"data {action}", text).add_argument(
            "names", nargs="*", help="data sets; all if none is given"
        )
    bench = tree.leaf(
        "bench", "Time our kernels beside their peers; exits with 1 if a row is out of reach."
    )
    bench.add_argument("rows", nargs="*", help="rows of the table; all if none is given")
    bench.add_argument("--json", type=Path | None, default=None, help="write the rows to this file")
    bench.add_argument("--device", default="cpu", help="where rows run: cpu, cuda or cuda:1")


def _add_options(parser: Any, recipe: Any) -> None:
    """The options of `geodl train RECIPE`, with the recipe's own values as defaults."""
    parser.add_argument(
        "--config", action="config", help="a file of options, as config.yaml in a run folder"
    )
    parser.add_argument(
        "--seeds",
        type=int | None,
        default=None,
        help="repeat with seeds 0 to N - 1 (one if not given)",
    )
    parser.add_argument(
        "--run",
        type=Path | None,
        default=None,
        help="the run folder (a new one under runs/ if not given)",
    )
    parser.add_argument(
        "--resume",
        type=Path | None,
        default=None,
        help="the folder of an interrupted run, to continue it",
    )
    parser.add_argument(
        "--json", type=Path | None, default=None, help="write the result to this file"
    )
    if recipe.batch_size is not None:
        parser.add_argument(
            "--batch_size", type=int, default=recipe.batch_size, help="examples a step"
        )
    parser.add_class_arguments(
        type(recipe.optimizer), "optimizer", default=asdict(recipe.optimizer)
    )
    parser.add_class_arguments(type(recipe.trainer), "trainer", default=asdict(recipe.trainer))
    parser.add_function_arguments(recipe.model, "model")

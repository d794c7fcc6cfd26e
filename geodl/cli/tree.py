"""What can be typed: the commands of geodl and their options."""

import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_type_hints

from geodl import __version__
from geodl.cli.parser import Parser
from geodl.train import RECIPES, Recipe

ABOUT = "One message-passing layer on grids, chains, complete graphs, graphs and groups."


def tree(words: Sequence[str] | None = None) -> Parser:
    """The parser of the command line.

    Args:
        words: what was typed. Only recipes that are named in it get their options: those of all
            recipes take a quarter of a second to make. None for all of them.
    """
    root = Parser("geodl", ABOUT, version=__version__)
    root.options.add("--version")
    root.takes_command("command")
    _add_train(root, words)
    _add_compare(root)
    _add_explain(root)
    _add_generate(root)
    _add_translate(root)
    _add_detect(root)
    _add_draw(root)
    _add_tour(root)
    _add_verify(root)
    _add_data(root)
    _add_bench(root)
    return root


def _add_train(root: Parser, words: Sequence[str] | None) -> None:
    train = root.command(
        "train", "Run a recipe: data, model, protocol, and the paper's number beside ours."
    )
    train.takes_command("recipe")
    train.command("list", "List the recipes with their numbers and the minutes they take.")
    for recipe in RECIPES.values():
        text = f"Train {recipe.summary}. {recipe.protocol[0].upper()}{recipe.protocol[1:]}."
        summary = "; ".join(filter(None, [recipe.summary, recipe.reached, recipe.duration]))
        parser = train.command(recipe.name, text, summary)
        if words is None or recipe.name in words:
            _add_options(parser, recipe)


def _add_options(parser: Parser, recipe: Recipe) -> None:
    """The options of `geodl train RECIPE`, with the recipe's own values as defaults."""
    parser.add_argument(
        "--config", action="config", help="a file of options, as config.yaml in a run folder"
    )
    parser.options |= {"--config", "--print_config"}
    parser.takes("--seeds", int, "repeat with seeds 0 to N - 1; one if not given")
    parser.takes("--run", Path, "the run folder; a new one under runs/ if not given")
    parser.takes("--resume", Path, "the folder of an interrupted run, to continue it")
    parser.takes("--json", Path, "write the result to this file")
    if recipe.batch_size is not None:
        parser.takes("--batch_size", int, "examples a step", default=recipe.batch_size)
    _add_part(parser, "model", recipe.model, recipe.model_options)
    _add_part(parser, "optimizer", type(recipe.optimizer), asdict(recipe.optimizer))
    _add_part(parser, "trainer", type(recipe.trainer), asdict(recipe.trainer))


def _add_part(
    parser: Parser, part: str, made: Callable[..., Any], defaults: dict[str, Any]
) -> None:
    """The arguments of a function or a class as options, with the words of its docstring."""
    documentation = inspect.getdoc(made) or ""
    first = " ".join(documentation.split("\n\n")[0].split())
    function = made
    if inspect.isclass(made):
        function = made.__init__
    annotations = get_type_hints(function)
    parser.takes_part(part, first, annotations, argument_texts(documentation), defaults)


def argument_texts(documentation: str) -> dict[str, str]:
    """What a docstring says of each argument, under "Args:".

    >>> argument_texts("Adds.\\n\\nArgs:\\n    a: the first,\\n        a number.\\n    b: another.")
    {'a': 'the first, a number', 'b': 'another'}
    """
    _, _, after = documentation.partition("Args:\n")
    section, _, _ = after.partition("\n\n")
    texts: dict[str, str] = {}
    name = ""
    for line in textwrap.dedent(section).splitlines():
        if not line.startswith(" "):
            name, _, line = line.partition(":")
            texts[name] = ""
        texts[name] = f"{texts[name]} {line.strip()}".strip()
    return {name: text.removesuffix(".") for name, text in texts.items()}


def _add_compare(root: Parser) -> None:
    compare = root.command(
        "compare",
        "Print finished runs side by side: parameters, multiply-adds, seconds an epoch, errors.",
    )
    compare.takes("runs", Path, "folders of runs that classify, as of cifar10-vgg", nargs="+")


def _add_explain(root: Parser) -> None:
    explain = root.command(
        "explain", "Tell what runs where and why in a recipe's model, and prove its symmetry."
    )
    explain.takes_command("recipe")
    for recipe in RECIPES.values():
        explain.command(recipe.name, f"Explain {recipe.summary}.", recipe.summary)


def _add_generate(root: Parser) -> None:
    generate = root.command(
        "generate",
        "Write text with a model that was trained on text, or draw images with the generator of a "
        "GAN.",
    )
    generate.takes("run", Path, "the folder of a run, as of shakespeare-gpt or mnist-cgan")
    text = "what the text begins with; a line break if not given"
    generate.takes("--prompt", str, text)
    text = "how many characters to add, 300 if not given; of a GAN how many images to draw, 100"
    generate.takes("--count", int, text)
    text = "divides the scores; 0 takes the likeliest character"
    generate.takes("--temperature", float, text, default=0.8)
    generate.takes("--top_k", int, "draw among the k likeliest only")
    generate.takes("--seed", int, "of the draws", default=0)
    generate.takes("--to", Path, "the file of the images of a GAN, as digits.png")
    text = "the class or the code of all images of a GAN; each in turn if not given"
    generate.takes("--label", int, text)
    text = "draw to this file what a GAN made of the same noise after some of the epochs"
    generate.takes("--epochs", Path, text)


def _add_translate(root: Parser) -> None:
    translate = root.command(
        "translate", "Rewrite texts with a model that was trained to translate, reverse or sort."
    )
    translate.takes("run", Path, "the folder of a run, as of translate-transformer")
    translate.takes("texts", str, "sentences, each in quotes", nargs="+")
    text = "draw to this file where each character of the first answer attends"
    translate.takes("--attention", Path, text)


def _add_detect(root: Parser) -> None:
    detect = root.command(
        "detect", "Draw scenes with the boxes that a trained detector predicts, and the true ones."
    )
    detect.takes("run", Path, "the folder of a run, as of scenes-detr")
    detect.takes("--to", Path, "the file of the picture, as boxes.png", required=True)
    detect.takes("--count", int, "how many scenes", default=12)
    text = "of the random scenes, which are made of test digits"
    detect.takes("--seed", int, text, default=0)
    text = "objects with a smaller score are not drawn"
    detect.takes("--threshold", float, text, default=0.5)
    text = "draw to this file where each query attends in the first scene"
    detect.takes("--attention", Path, text)
    text = "draw to this file the boxes predicted after some of the epochs"
    detect.takes("--epochs", Path, text)


def _add_draw(root: Parser) -> None:
    draw = root.command("draw", "Draw what runs gave.")
    draw.takes_command("picture")
    lengths = draw.command(
        "lengths",
        "Draw accuracy against length: one line for each run, the spread of its seeds around it.",
    )
    lengths.takes("runs", Path, "folders of runs, as of reverse-rnn", nargs="+")
    lengths.takes("--to", Path, "the file of the picture", required=True)
    losses = draw.command(
        "losses", "Draw the training loss of each epoch, a line a run, also of one that goes on."
    )
    losses.takes("runs", Path, "folders of runs, as of cifar10-plain44", nargs="+")
    losses.takes("--to", Path, "the file of the picture", required=True)
    precision = draw.command(
        "precision",
        "Draw the mean average precision after each epoch, two lines a run, also of one that goes "
        "on.",
    )
    precision.takes("runs", Path, "folders of runs, as of scenes-detr", nargs="+")
    precision.takes("--to", Path, "the file of the picture", required=True)
    neighborhood = draw.command(
        "neighborhood",
        "Draw what the answer at a node rests on: the links and nodes around it, by each method.",
    )
    neighborhood.takes("run", Path, "the folder of a run, as of cora-gcn")
    neighborhood.takes("--node", int, "the number of the node", default=0)
    neighborhood.takes("--hops", int, "how far around it", default=2)
    neighborhood.takes("--to", Path, "the file of the picture", required=True)
    smoothing = draw.command(
        "smoothing", "Draw over-smoothing: how much neighbors differ, by depth, a line a run."
    )
    smoothing.takes("runs", Path, "folders of runs, as of cora-gcn", nargs="+")
    smoothing.takes("--to", Path, "the file of the picture", required=True)

    samples = draw.command(
        "samples",
        "Draw error against the number of training examples: a line for each network.",
    )
    text = "folders of runs, as of rotated-mnist-p4cnn with --trainer.limit_examples"
    samples.takes("runs", Path, text, nargs="+")
    samples.takes("--to", Path, "the file of the picture", required=True)
    rotations = draw.command(
        "rotations",
        "Draw a test image turned by eight angles, feature maps of each, and the maps turned back.",
    )
    rotations.takes("runs", Path, "folders of runs, as of rotated-mnist-p4cnn", nargs="+")
    rotations.takes("--number", int, "of the test image", default=0)
    rotations.takes("--to", Path, "the file of the picture", required=True)
    _add_looks_inside(draw)


def _add_looks_inside(draw: Parser) -> None:
    """The pictures of what is inside of one network on images."""
    maps = draw.command(
        "feature-maps", "Draw the feature maps that a layer of a trained network makes of an image."
    )
    made = draw.command(
        "deconvolution",
        "Draw what in an image made the largest numbers of a layer of a trained network.",
    )
    hidden = draw.command(
        "occlusion",
        "Draw how a trained network's answer changes where a square of an image is hidden.",
    )
    for parser in (maps, made, hidden):
        parser.takes("run", Path, "the folder of a run, as of mnist-lenet")
        parser.takes("--number", int, "of the test image", default=0)
        parser.takes("--to", Path, "the file of the picture", required=True)
    for parser, count in ((maps, 32), (made, 8)):
        text = "its name, as features.3; the last convolution if not given"
        parser.takes("--layer", str, text)
        parser.takes("--count", int, "the most channels", default=count)
    hidden.takes("--size", int, "side of the square, in pixels", default=8)
    hidden.takes("--stride", int, "by how many pixels it moves", default=2)


def _add_tour(root: Parser) -> None:
    tour = root.command(
        "tour", "See everything run on embedded data, in about two minutes, with a report."
    )
    tour.takes("folder", Path, "for the report", nargs="?", default="geodl-tour")


def _add_verify(root: Parser) -> None:
    verify = root.command(
        "verify", "Prove the claims: errors of values and gradients beside their bounds."
    )
    verify.takes("rows", str, "numbers of claims, as 05; all if none is given", nargs="*")
    verify.takes("--json", Path, "write the rows to this file")


def _add_data(root: Parser) -> None:
    data = root.command("data", "List data sets, get them, check what is on disk.")
    data.takes_command("action")
    data.command("list", "List the data sets that have a card.")
    for action, text in (
        ("get", "Download data sets, each file verified."),
        ("check", "Say what is on disk, verified."),
    ):
        parser = data.command(action, text)
        parser.takes("names", str, "data sets; all if none is given", nargs="*")


def _add_bench(root: Parser) -> None:
    bench = root.command(
        "bench", "Time our kernels beside their peers; exits with 1 if a row is out of reach."
    )
    bench.takes("rows", str, "rows of the table; all if none is given", nargs="*")
    bench.takes("--json", Path, "write the rows to this file")
    bench.takes("--device", str, "where rows run: cpu, cuda or cuda:1", default="cpu")

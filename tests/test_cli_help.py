"""Help says true things in whole sentences, of every command and every recipe."""

import contextlib
import functools
import io
import re
from pathlib import Path
from typing import Literal

import pytest

from geodl.cli import main
from geodl.cli.parser import Parser
from geodl.cli.tree import argument_texts, tree
from geodl.cli.values import Value
from geodl.errors import GeodlError
from geodl.train import RECIPES


def leaves(parser: Parser) -> list[Parser]:
    """All parsers below one, and itself."""
    return [parser, *(leaf for child in parser.commands.values() for leaf in leaves(child))]


def flat(text: str) -> str:
    """A text in one line; help breaks lines at hyphens too."""
    return " ".join(text.split()).replace("- ", "-")


@functools.cache
def listed() -> list[str]:
    """The lines of `geodl train list`."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["train", "list"]) == 0
    return out.getvalue().splitlines()


@functools.cache
def train_help() -> str:
    """The help of `geodl train`, which all recipes are on."""
    return flat(PARSERS["geodl train"].format_help())


PARSERS = {parser.typed: parser for parser in leaves(tree())}


@pytest.mark.parametrize("typed", sorted(PARSERS))
def test_help_is_made_of_sentences(typed):
    parser = PARSERS[typed]
    text = flat(parser.format_help())
    assert re.match(r"[A-Z]", parser.description), parser.description
    assert parser.description.endswith(".")
    assert flat(parser.description) in text
    assert "<class" not in text
    assert "(required)" not in text
    assert "[options]" not in text
    assert f"usage: {typed}" in text


@pytest.mark.parametrize("typed", sorted(PARSERS))
def test_what_may_be_left_out_is_not_required(typed):
    text = flat(PARSERS[typed].format_help())
    for optional in re.findall(r"[^()]*if (?:none is|not) given \(([^)]*)\)", text):
        assert "required" not in optional


@pytest.mark.parametrize("typed", sorted(PARSERS))
def test_every_option_says_what_it_is(typed):
    parser = PARSERS[typed]
    lines = parser.format_help().splitlines()
    for option in parser.options - {"--help", "--version", "--print_config"}:
        (first,) = [k for k, line in enumerate(lines) if line.split()[:1] == [option]]
        said = flat(" ".join(lines[first : first + 3]))
        assert re.match(rf"{option} [^ ]+ (?!\(type)\S", said), said


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_are_listed_with_their_numbers_and_minutes(name):
    recipe = RECIPES[name]
    assert re.match(r"(an?|two|the|PyG's) ", recipe.summary), "it follows the word Train"
    assert f"Train {recipe.summary}." in flat(PARSERS[f"geodl train {name}"].format_help())
    assert recipe.reached and recipe.minutes > 0
    assert f"{name} {recipe.summary}; {recipe.reached}; {recipe.duration}" in train_help()
    (line,) = [line for line in listed() if line.split()[0] == name]
    assert recipe.summary in line and recipe.reached in line and recipe.duration in line


def test_the_words_of_arguments_are_those_of_the_docstring():
    made = argument_texts(
        "One.\n\nArgs:\n    a: the first\n        of two.\n    b: it.\n\nReturns:\n"
    )
    assert made == {"a": "the first of two", "b": "it"}
    assert argument_texts("Nothing.") == {}


@pytest.mark.parametrize(
    ("annotation", "given", "value"),
    [
        (int, "20", 20),
        (int, 20, 20),
        (float, "2e-3", 2e-3),
        (float, 2, 2.0),
        (float | None, "null", None),
        (float | None, None, None),
        (bool, "true", True),
        (bool, False, False),
        (str, "a", "a"),
        (Path, "a/b", Path("a/b")),
        (Literal["a", "b"], "b", "b"),
        (int | list[int] | str, "2", 2),
        (int | list[int] | str, "[0,1]", [0, 1]),
        (int | list[int] | str, "auto", "auto"),
    ],
)
def test_values_are_read_as_what_they_are(annotation, given, value):
    found = Value("x", annotation)(given)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("annotation", "given", "told"),
    [
        (int, "2.5", "--x 2.5: found a value that it cannot have; give a whole number"),
        (int, 2.5, "give a whole number"),
        (int, "true", "give a whole number"),
        (int, True, "give a whole number"),
        (float, "much", "give a number"),
        (bool, "maybe", "give true or false"),
        (int | None, "none at all", "give a whole number or null"),
        (Literal["adam", "adamw"], "adamax", "did you mean 'adam"),
    ],
)
def test_other_values_are_told(annotation, given, told):
    with pytest.raises(GeodlError) as error:
        Value("x", annotation)(given)
    assert told in str(error.value)


def test_options_are_made_for_the_recipes_that_are_named():
    train = tree(["train", "cora-gcn", "--seeds", "2"]).commands["train"]
    named = [name for name, parser in train.commands.items() if "--seeds" in parser.options]
    assert named == ["cora-gcn"] and set(train.commands) >= set(RECIPES)

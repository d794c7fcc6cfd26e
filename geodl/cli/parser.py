"""How the command line is parsed: jsonargparse's parser with refusals of ours."""

from argparse import SUPPRESS
from collections.abc import Mapping
from typing import Any, NoReturn, final

from geodl.cli.values import Value
from geodl.errors import GeodlError, nearest

try:
    from jsonargparse import ArgumentParser
except ImportError as missing:
    raise GeodlError(
        "the command line", "jsonargparse is not installed", 'pip install "geodl[all]"'
    ) from missing


@final
class Parser(ArgumentParser):
    """A parser whose refusals are GeodlErrors that name what was typed.

    Args:
        typed: the words that lead to it, as "geodl train cora-gcn".
        text: what the command does, a sentence.
        version: what `--version` prints; without one there is no such option.

    Attributes:
        options: what it takes, as "--seeds".
        commands: the parsers of its next word; none where options follow.
        kind: what its next word is called, as "recipe".
    """

    def __init__(self, typed: str, text: str, *, version: str | None = None):
        super().__init__(
            prog=typed, description=text, exit_on_error=False, allow_abbrev=False, version=version
        )
        self.typed = typed
        self.options = {"--help"}
        self.commands: dict[str, Parser] = {}
        self.kind = ""
        self._branches: Any = None

    def takes_command(self, kind: str) -> None:
        """The next word is a command of its own, added by :meth:`command`.

        Args:
            kind: what it is called in help and errors, and the field of the answer.
        """
        self.kind = kind
        # Not required for jsonargparse, which would print so beside the list; `main` asks for it.
        self._branches = self.add_subcommands(required=False, dest=kind, metavar=kind.upper())

    def command(self, name: str, text: str, summary: str = "") -> "Parser":
        """The parser of a next word.

        Args:
            name: the word.
            text: what it does, a sentence.
            summary: the same in the list of words, if it is said otherwise there.
        """
        child = Parser(f"{self.typed} {name}", text)
        self._branches.add_subcommand(name, child, help=summary or text)
        child.prog = child.typed
        self.commands[name] = child
        return child

    def takes(
        self,
        name: str,
        annotation: Any,
        text: str,
        *,
        default: Any = SUPPRESS,
        nargs: str | None = None,
        required: bool = False,
    ) -> None:
        """Add an option `--name`, or without dashes a positional argument.

        Args:
            name: with its dashes.
            annotation: its type, as :class:`Value` takes it.
            text: what it is; type and default are added to it.
            default: what it is if it is not given; without one it is then not there.
            nargs: "+" or "*" for several, "?" for at most one.
            required: whether an option has to be given.
        """
        self._add(self, name, annotation, text, default, nargs=nargs, required=required)

    def takes_part(
        self,
        part: str,
        text: str,
        annotations: Mapping[str, Any],
        texts: Mapping[str, str],
        defaults: Mapping[str, Any],
    ) -> None:
        """Add an option `--part.name` for each name of `defaults`, as a group of its own.

        Args:
            part: what the options belong to, as "optimizer".
            text: what that is, a sentence.
            annotations: the type of each.
            texts: what each is, as far as it is known.
            defaults: what each is if it is not given.
        """
        group = self.add_argument_group(part, text)
        for name, default in defaults.items():
            self._add(group, f"--{part}.{name}", annotations[name], texts.get(name, ""), default)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Refuse; argparse and jsonargparse call this with their words.

        Raises:
            GeodlError: always.
        """
        cause = _cause(ex)
        if isinstance(cause, GeodlError):
            raise cause
        if cause is not None:
            message = str(cause)
        parser, given = self, list(self.args)
        while given and given[0] in parser.commands:
            word = given.pop(0)
            parser = parser.commands[word]
            # jsonargparse names an argument by the words that lead to it, as draw.lengths.to.
            message = message.replace(f"{word}.", "")
        raise parser.refusal(given, message)

    def refusal(self, given: list[str], message: str) -> GeodlError:
        """What is wrong with the words after this parser's own: the first that is unknown, else
        what argparse says.
        """
        asked = " ".join([self.typed, *given])
        for word in given:
            name, _, _ = word.partition("=")
            if name.startswith("--") and name not in self.options:
                found = f"{name!r}, which {self.typed} does not take"
                return GeodlError(asked, found, nearest(name, self.options))
            if self.commands:
                found = f"no {self.kind} of that name"
                return GeodlError(f"the {self.kind} {word!r}", found, nearest(word, self.commands))
        return GeodlError(asked, message, f"see `{self.typed} --help`")

    def _add(
        self,
        group: Any,
        name: str,
        annotation: Any,
        text: str,
        default: Any,
        *,
        nargs: str | None = None,
        required: bool = False,
    ) -> None:
        value = Value(name.lstrip("-"), annotation)
        settings: dict[str, Any] = {"type": value, "help": text}
        if value.words:
            settings["metavar"] = "{" + ",".join(value.words) + "}"
        if nargs is not None:
            settings["nargs"] = nargs
        if name.startswith("--"):
            self.options.add(name)
            settings["required"] = required
        if (name.startswith("--") and not required) or nargs in ("*", "?"):
            settings["default"] = default
        group.add_argument(name, **settings)


def _cause(error: Exception | None) -> BaseException | None:
    """What an error was raised for: a GeodlError where there is one, else the first of all.

    Where a value is refused, argparse and jsonargparse raise errors of their own of ours.
    """
    first: BaseException | None = error
    while first is not None and not isinstance(first, GeodlError):
        before = first.__cause__ or first.__context__
        if before is None:
            break
        first = before
    return first

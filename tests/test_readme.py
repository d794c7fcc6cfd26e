"""The README runs: its Python blocks in order, printing what it says they print, and its commands
exist.
"""

import contextlib
import io
import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
OTHERS = {"pip", "pytest", "git", "cd", "ruff", "pyright", ".ci/run"}


class Block(NamedTuple):
    """A fenced block: its language, the line its text begins on, its text."""

    language: str
    line: int
    text: str


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [Block(m[1], page.count("\n", 0, m.start(2)) + 1, m[2]) for m in found]


def untrue(page: str) -> list[str]:
    """Executes the Python blocks in one namespace; a `text` block that follows one says what it
    prints, to the word.
    """
    wrong, printed = [], ""
    namespace: dict[str, object] = {"__name__": "readme"}
    for block in blocks(page):
        if block.language == "text" and printed and printed.split() != block.text.split():
            wrong.append(
                f"README.md:{block.line} says\n{block.text}but the code above prints\n{printed}"
            )
        output = io.StringIO()
        if block.language == "python":
            with contextlib.redirect_stdout(output):
                exec(compile("\n" * (block.line - 1) + block.text, "README.md", "exec"), namespace)
        printed = output.getvalue()
    return wrong


def words_of(text: str) -> list[list[str]]:
    """The words of each command: a backslash continues, && and ; separate, # begins a remark,
    NAME=value sets the scene.
    """
    parts = re.split(r"&&|;|\n", text.replace("\\\n", " "))
    found = [
        [word for word in shlex.split(part, comments=True) if not re.match(r"[A-Z_]+=", word)]
        for part in parts
    ]
    return [words for words in found if words]


def commands(page: str) -> list[list[str]]:
    """The shell commands of a page: those in bash blocks, and those in the text between
    backticks.
    """
    fenced = [block.text for block in blocks(page) if block.language in ("bash", "sh")]
    prose = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`((?:geodl|python|pip|pytest) [^`\n]+)`", prose)
    return [words for text in fenced + inline for words in words_of(text)]


def unknown(page: str, known: dict[str, set[str]], extras: set[str]) -> list[str]:
    """Shell commands that do not exist.

    Args:
        known: the subcommands of geodl, each with what its first argument may be (anything, if
            empty).
        extras: the optional dependencies that may be installed.
    """
    wrong = []
    for words in commands(page):
        subject, argument = ([word for word in words[1:] if not word.startswith("-")] + ["", ""])[
            :2
        ]
        fine = words[0] in OTHERS
        if words[0] == "python":
            fine = subject.startswith("examples/") and (ROOT / subject).is_file()
        elif words[0] == "geodl":
            fine = subject in known and (not known[subject] or argument in known[subject])
        elif words[0] == "pip":
            fine = set(re.findall(r"\.\[(\w+)\]", " ".join(words))) <= extras
        wrong += [] if fine else [shlex.join(words)]
    return wrong


def broken(page: str) -> list[str]:
    """Links into the project that lead nowhere."""
    links = re.findall(r"\]\(([^)#\s]+)", page)
    return [link for link in links if "://" not in link and not (ROOT / link).exists()]


@pytest.fixture(scope="module")
def page() -> str:
    if not README.is_file():
        pytest.skip("README.md is not in this folder")
    return README.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def extras() -> set[str]:
    return set(
        tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    )


def test_python_blocks_run_and_print_what_the_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [block.language for block in blocks(page)].count("python") >= 1
    assert untrue(page) == []


def test_what_the_page_says_wrongly_is_found():
    wrong = untrue(
        "```python\nx = 1\n```\n```python\nprint(x)\n```\nThis "
        "prints\n```text\n2\n```\n```text\na picture\n```\n"
    )
    assert [line.split(" says")[0] for line in wrong] == ["README.md:9"]
    assert untrue("```python\nprint(1,\n  2)\n```\n```text\n1   2\n```\n") == []


def test_a_block_that_fails_names_its_line():
    with pytest.raises(ZeroDivisionError) as error:
        untrue("# Title\n\n```python\nx = 1\nx / 0\n```\n")
    assert (Path(error.traceback[-1].path).name, error.traceback[-1].lineno) == ("README.md", 4)


def answers(subcommand: str, monkeypatch) -> bool:
    """Whether geodl explains a subcommand when asked for help."""
    from geodl import cli

    monkeypatch.setattr(sys, "argv", ["geodl", subcommand, "--help"])
    with pytest.raises(SystemExit) as ending:
        cli.main()
    return not ending.value.code


def test_commands_exist(page, extras, monkeypatch):
    from geodl.train import RECIPES

    used = {words[1] for words in commands(page) if words[0] == "geodl" and len(words) > 1}
    known = {
        name: set(RECIPES) if name in ("train", "explain") else set()
        for name in used
        if answers(name, monkeypatch)
    }
    assert "tour" in known
    assert not answers("no-such-subcommand", monkeypatch)
    assert unknown(page, known, extras) == []


def test_links_lead_somewhere(page):
    assert broken(page) == []


def test_a_link_that_leads_nowhere_is_found():
    text = "[a](pyproject.toml) [b](no/such/file.py) [c](https://example.org/x) [d](tests#part)"
    assert broken(text) == ["no/such/file.py"]


def test_both_set_up_commands_are_on_the_page(page):
    assert 'pip install -c constraints.txt -e ".[all]" && geodl tour' in page
    assert 'pip install -c constraints.txt -e ".[test]" && pytest' in page


@pytest.mark.parametrize(
    "command",
    [
        "geodl trian cora-gcn",
        "geodl train cora-gnc --seeds 20",
        "cd geodl && geodl",
        "python examples/no_such_file.py",
        "python setup.py install",
        'pip install -e ".[everything]"',
        "curl example.org | bash",
    ],
)
def test_a_command_that_does_not_exist_is_found(command):
    known = {"tour": set(), "train": {"cora-gcn"}}
    assert len(unknown(f"```bash\n{command}\n```\n", known, {"all"})) == 1
    assert len(unknown("Run `geodl trian cora-gcn` or `geodl tour`.", known, {"all"})) == 1


def test_commands_that_exist_are_none():
    first = 'pip install \\\n  -e ".[all]" && geodl tour  # two minutes'
    second = "GEODL_DATA=data geodl train cora-gcn --seeds 20; geodl tour here"
    page = f"```bash\n{first}\n{second}\n```\n```yaml\nnot: a command\n```\n"
    assert unknown(page, {"tour": set(), "train": {"cora-gcn"}}, {"all"}) == []

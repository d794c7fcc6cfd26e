"""The README runs: its Python blocks in order, printing what it says they print; its table for
those who come from elsewhere; its commands, as they are printed.

Commands that take seconds run as they are. A training that later commands need runs with two
batches to an epoch (`--trainer.limit_batches`); of the others the words are parsed, and the network
is built. `tour`, `verify` and `bench` are parsed and called; that they do their work is held by
their own tests.
"""

import contextlib
import io
import re
import shlex
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


def exists(words: list[str], extras: set[str]) -> bool:
    """Whether a shell command that is not geodl's exists; `extras` may be installed by pip."""
    subject = next((word for word in words[1:] if not word.startswith("-")), "")
    if words[0] == "python":
        return subject.startswith("examples/") and (ROOT / subject).is_file()
    if words[0] == "pip":
        return set(re.findall(r"\.\[(\w+)\]", " ".join(words))) <= extras
    return words[0] in OTHERS


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


LIMITS = ("--trainer.limit_batches", "1", "--trainer.max_epochs", "1", "--seeds", "1")


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """An empty folder to work in; what takes minutes is only called."""
    import torch

    from geodl import bench, data, tour, verify
    from geodl.data import reversal
    from geodl.train import detection, experiment, recipes
    from geodl.train.average_precision import Precision
    from geodl.train.judge import Judge
    from geodl.train.text_parts import rewriting_parts

    whole = experiment.run

    def run(recipe, options, *, folder, **rest):
        if folder is not None:
            return whole(recipe, options, folder=folder, **rest)
        recipe.build(options)
        return "parsed"

    def few(name, make, count, lengths):
        return rewriting_parts(name, reversal, 12, lengths)

    def few_digits():
        part = data.Split(torch.rand(400, 1, 28, 28), torch.arange(400) % 10)
        return data.ImageData("toy", part, part, part, num_classes=10)

    def untrained(recipe, images):
        return Judge(recipe.build(recipe.options), images.train.images)

    called = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(experiment, "kept_run", lambda recipe, **rest: tmp_path)
    monkeypatch.setattr(recipes.adversarial, "mnist", few_digits)
    monkeypatch.setattr(recipes.adversarial, "trained_judge", untrained)
    monkeypatch.setattr(recipes.rotated, "rotated_mnist", few_digits)
    monkeypatch.setattr(experiment, "run", run)
    monkeypatch.setattr(recipes.generated, "rewriting_parts", few)
    monkeypatch.setattr(recipes.scenes, "mnist", few_digits)
    monkeypatch.setattr(detection, "average_precision", lambda *_, classes: Precision(0.5, 0.5))
    monkeypatch.setattr(tour, "run", lambda folder: called.append("tour") or 0)
    monkeypatch.setattr(verify, "run", lambda **asked: called.append("verify") or [])
    monkeypatch.setattr(bench, "run", lambda rows, **asked: called.append("bench") or [])
    return called


def test_commands_run_as_printed(page, data_root, quick, capsys):
    from geodl.cli import main

    seen = []
    for command in commands(page):
        if command[0] != "geodl" or command in seen:
            continue
        seen.append(command)
        words = command[1:]
        if "--run" in words:
            words += LIMITS
        assert main(words) == 0, shlex.join(command)
    assert set(quick) == {"bench", "tour", "verify"}
    assert {command[1] for command in seen} == {
        *("tour", "verify", "train", "compare", "generate", "translate", "detect", "draw", "data"),
        "bench",
    }
    assert Path("lengths.png").exists()
    assert Path("swim.png").exists()
    assert Path("rotations.png").exists()
    assert Path("epochs.png").exists()
    assert Path("boxes.png").exists()
    assert "parsed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("geodl trian cora-gcn", "did you mean 'train'"),
        ("geodl train cora-gnc --seeds 20", "did you mean 'cora-gcn'"),
        ("geodl draw lengths RUN RUN RUN", "required: to"),
        ("geodl translate", "required: run, texts"),
        ("geodl", "found no command"),
    ],
)
def test_a_command_that_fails_as_printed_is_found(command, told, capsys):
    from geodl.cli import main

    (words,) = commands(f"```bash\n{command}\n```\n")
    with pytest.raises(SystemExit) as ending:
        main(words[1:])
    assert ending.value.code == 2
    assert told in capsys.readouterr().err


def test_other_commands_exist(page, extras):
    others = [words for words in commands(page) if words[0] != "geodl"]
    assert others
    assert [shlex.join(words) for words in others if not exists(words, extras)] == []


class Row(NamedTuple):
    """A row of the table for those who come from elsewhere: the code of its last two cells, and
    whether the cells are nothing but code.
    """

    theirs: list[str]
    ours: list[str]
    plain: bool


def rows_from_elsewhere(page: str) -> list[Row]:
    """The rows of the table below "Coming from"."""
    section = re.search(r"^## Coming from.*?(?=^## )", page, re.MULTILINE | re.DOTALL)
    assert section is not None
    found = []
    for line in section[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and "`" in cells[-1]:
            theirs, ours = (re.findall(r"`([^`]+)`", cell) for cell in cells[-2:])
            words = re.sub(r"`[^`]+`|,", "", "".join(cells[-2:])).strip()
            found.append(Row(theirs, ours, plain=not words))
    return found


def test_what_one_writes_here_runs_and_is_as_large_as_what_one_writes_there(page):
    import torch
    import torch_geometric.data
    import torch_geometric.nn as pyg

    import geodl as g

    namespace = {"torch": torch, "nn": torch.nn, "g": g}
    peers = ("GCNConv", "ChebConv", "TransformerConv", "GATConv", "RGCNConv")
    peers += ("SAGEConv", "GINEConv", "GCN2Conv", "ResGatedGraphConv", "EdgeConv", "TopKPooling")
    namespace |= {name: getattr(pyg, name) for name in peers}
    namespace |= {"Data": torch_geometric.data.Data}
    section = page[page.index("## Coming from") :]
    (setting, *_) = blocks(section)
    exec(setting.text, namespace)
    rows = rows_from_elsewhere(page)
    assert len(rows) > 20
    compared = 0
    for row in rows:
        made = [eval(code, namespace) for code in row.ours if not code.startswith(".")]
        assert made
        known = [code for code in row.theirs if code.split("(")[0].split(".")[0] in namespace]
        if row.plain and len(known) == len(made) == len(row.theirs):
            for code, ours in zip(known, made, strict=True):
                assert parameters(eval(code, namespace)) == parameters(ours), code
                compared += 1
    assert compared > 10


def parameters(made: object) -> int:
    """How many numbers a module learns; none for what is no module."""
    found = getattr(made, "parameters", None)
    return sum(parameter.numel() for parameter in found()) if found else 0


def test_numbers_of_the_recipes_are_those_of_the_page(page):
    from geodl.train import RECIPES

    for recipe in RECIPES.values():
        command = f"geodl train {recipe.name}"
        if re.search(rf"`{command}[ `]", page):
            number = re.match(r"[\d.]+( ± [\d.]+)?", recipe.reached)
            assert number is not None, recipe.name
            assert number[0] in page, recipe.name


def unknown(listed: str) -> list[str]:
    """Names between backticks that are neither ours nor of models, data sets or pictures."""
    import geodl as g

    names = re.findall(r"`(?:g\.)?(\w+)(?:\([^`]*\))?`", listed)
    known = {*dir(g), *g.models.__all__, *g.data.__all__, *g.viz.__all__}
    return [name for name in names if name not in known]


def test_what_there_is_exists_and_every_model_is_listed(page):
    import geodl as g

    listed = page.split("## What there is")[1].split("\n## ")[0]
    assert unknown(listed) == []
    assert [name for name in g.models.__all__ if f"`{name}`" not in listed] == []


def test_a_listed_name_that_is_gone_is_found():
    assert unknown("`Grid`, `C(n)`, `g.models`, `vit` and `g.gone`, `lost(3)`") == ["gone", "lost"]


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
        "python examples/no_such_file.py",
        "python setup.py install",
        'pip install -e ".[everything]"',
        "curl example.org | bash",
    ],
)
def test_a_command_that_does_not_exist_is_found(command):
    (words, *_) = commands(f"```bash\n{command}\n```\n")
    assert not exists(words, {"all"})


def test_commands_are_read_as_a_shell_reads_them():
    first = 'pip install \\\n  -e ".[all]" && geodl tour  # two minutes'
    second = "GEODL_DATA=data geodl train cora-gcn --seeds 20; geodl tour here"
    page = f"```bash\n{first}\n{second}\n```\n```yaml\nnot: a command\n```\nand `geodl verify`"
    assert commands(page) == [
        ["pip", "install", "-e", ".[all]"],
        ["geodl", "tour"],
        ["geodl", "train", "cora-gcn", "--seeds", "20"],
        ["geodl", "tour", "here"],
        ["geodl", "verify"],
    ]

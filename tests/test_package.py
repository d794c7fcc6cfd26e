"""What is said about the package in several files is the same in all of them."""

import re
import shutil
import tomllib
from pathlib import Path

import yaml

import geodl

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
CHANGES = (ROOT / "CHANGELOG.md").read_text()


def test_the_version_is_written_in_one_place():
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert "version" not in PROJECT["project"]
    source = ROOT / PROJECT["tool"]["hatch"]["version"]["path"]
    assert f'__version__ = "{geodl.__version__}"' in source.read_text().splitlines()


def test_the_citation_is_of_this_version():
    assert str(CITATION["version"]) == geodl.__version__
    assert f"## [{geodl.__version__}] - {CITATION['date-released']}" in CHANGES.splitlines()


def test_the_changelog_is_in_order():
    headings = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d{2}-\d{2}))?$", CHANGES, re.M)
    assert headings[0][0] == "Unreleased"
    released = [date for _, date in headings[1:]]
    assert all(released)
    assert released == sorted(released, reverse=True)
    kinds = set(re.findall(r"^### (.+)$", CHANGES, re.M))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_what_is_checked_before_a_commit_is_there():
    settings = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repo in settings["repos"] for hook in repo["hooks"]]
    assert [repo["repo"] for repo in settings["repos"]] == ["local"], "nothing is fetched"
    assert [hook["id"] for hook in hooks] == ["lint", "layout", "architecture"]
    for hook in hooks:
        command, *words = hook["entry"].split()
        assert shutil.which(command), command
        assert all((ROOT / word).exists() for word in words if word.endswith(".py"))


def test_every_marker_of_the_tests_is_known():
    known = {line.split(":")[0] for line in PROJECT["tool"]["pytest"]["ini_options"]["markers"]}
    assert known == {"gpu"}

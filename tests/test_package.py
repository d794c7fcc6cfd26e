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


def requirements() -> dict[str, str]:
    """The lower bound of each package that is asked for, in any extra."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    asked = PROJECT["project"]["dependencies"] + [line for extra in extras for line in extra]
    found = [re.match(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", line) for line in asked]
    return {match[1]: match[2] for match in found if match}


def test_the_oldest_versions_are_the_bounds():
    """What runs with the oldest versions is what is promised; 3.2 and 3.2.0 are one version."""
    lines = (ROOT / ".ci" / "oldest.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    bounds = requirements()
    assert len(bounds) > 15
    assert pins.keys() == bounds.keys()
    for name, bound in bounds.items():
        assert pins[name].removesuffix(".0") == bound.removesuffix(".0"), name


def test_hosted_checks_are_the_local_ones():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    runs = [step["run"] for step in steps if "run" in step]
    assert all(run.split()[0] == ".ci/run" for run in runs)
    matrix = workflow["jobs"]["bounds"]["strategy"]["matrix"]["include"]
    assert {"oldest", "newest"} == {row["name"] for row in matrix}
    versions = {tuple(map(int, row["python"].split("."))) for row in matrix}
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert min(versions) == tuple(map(int, oldest.split(".")))
    for row in matrix:
        assert row["constraints"] == "/dev/null" or (ROOT / row["constraints"]).exists()


def test_what_is_public_exists():
    """The README names the modules that are stable beside `geodl.__all__`."""
    section = (ROOT / "README.md").read_text().split("## What is public")[1].split("\n## ")[0]
    named = re.findall(r"`g\.(\w+)`", section)
    assert {"testing", "interop", "models", "data"} <= set(named)
    assert all(hasattr(geodl, name) for name in [*named, *geodl.__all__])

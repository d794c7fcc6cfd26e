"""The pages for people who develop geodl name only what is there."""

import re
from pathlib import Path

import pytest

from geodl.lowering import LOWERINGS
from tests.rules import imports

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("docs/ARCHITECTURE.md", "CONTRIBUTING.md")
NAMED = re.compile(r"`((?:geodl|tests|docs|\.ci)/[\w./-]*)`")


def missing(text: str) -> list[str]:
    """Paths between backticks that are not in the repository."""
    return [path for path in NAMED.findall(text) if not (ROOT / path).exists()]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    if not (ROOT / PAGES[0]).exists():
        pytest.skip("the documents are not part of this folder")
    return {page: (ROOT / page).read_text() for page in PAGES}


def test_every_path_exists(pages):
    assert all(len(NAMED.findall(text)) >= 15 for text in pages.values())
    assert [path for text in pages.values() for path in missing(text)] == []


def test_a_path_that_is_gone_is_found():
    assert missing("see `geodl/layer/base.py` and `geodl/layer/gone.py`") == ["geodl/layer/gone.py"]


def test_ten_questions_are_answered_by_files(pages):
    answers = re.findall(r"^(\d+)\. \*\*\.\.\. (.*?)(?=^\d+\. |^## )", pages[PAGES[0]], re.M | re.S)
    assert len(answers) >= 10
    assert [number for number, text in answers if not NAMED.search(text)] == []


def test_the_floors_are_those_that_imports_hold(pages):
    table = dict(re.findall(r"^\| ([\d.]+) \| (.*?) \|", pages[PAGES[0]], re.M))
    drawn = {
        Path(path).stem: float(floor)
        for floor, rooms in table.items()
        for path in NAMED.findall(rooms)
    }
    assert drawn == {room: floor for room, floor in imports.FLOORS.items() if room in drawn}
    assert set(imports.FLOORS) <= set(drawn)


def test_the_kernel_of_the_drawn_call_is_the_one_that_runs():
    assert LOWERINGS["convolve"][0].name == "lattice"

"""The tour writes a whole folder or none, says what it found, and owns nothing that it did not
make.
"""

import re
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image

import geodl as g
from geodl import tour
from geodl.tour import stops
from geodl.tour.page import Stop, text

PICTURES = {
    "feature-maps.png",
    "karate-club.png",
    "tying-convolution.png",
    "tying-deepsets.png",
    "tying-orbits-of-a-ring.png",
    "tying-p4-convolution.png",
}


class Page(HTMLParser):
    """The parts of a page that matter: its pictures, what it loads from elsewhere, its words, and
    tags left open.
    """

    def __init__(self, source: str):
        super().__init__()
        self.pictures: dict[str, str] = {}
        self.loads, self.open, self.words = [], [], []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag == "img":
            self.pictures[found["src"]] = found.get("alt", "")
        self.loads += [found[key] for key in ("href", "src") if key in found and tag != "img"]
        self.open += [tag] if tag not in ("img", "meta") else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def toured(tmp_path_factory):
    """A short tour: its folder, exit status and printed lines; and whether the random state
    stayed.
    """
    folder, lines = tmp_path_factory.mktemp("tour") / "out", []
    before = torch.random.get_rng_state()
    status = tour.run(folder, progress=lines.append, digits_epochs=1, karate_epochs=20)
    assert torch.equal(before, torch.random.get_rng_state())
    return folder, status, "\n".join(lines)


def test_the_folder_is_whole(toured):
    folder, status, printed = toured
    assert status == 0 and "everything that must be exact was" in printed
    assert {path.name for path in folder.iterdir()} == PICTURES | {"index.html"}
    assert printed.endswith(f"summary with pictures: {folder / 'index.html'}")
    assert [path.name for path in folder.parent.iterdir()] == ["out"]
    for name in PICTURES:
        with Image.open(folder / name) as picture:
            assert (
                min(picture.size) > 500
                and len(picture.convert("RGB").getcolors(1 << 24) or []) > 10
            )


def test_the_page_shows_every_picture_in_words_too(toured):
    folder, _, _ = toured
    page = Page((folder / "index.html").read_text())
    assert page.open == [] and page.loads == []
    assert set(page.pictures) == PICTURES
    assert all(len(alt) > 30 for alt in page.pictures.values())
    assert len(set(page.pictures.values())) == len(PICTURES)
    assert str(folder.parent) not in "".join(page.words)


def test_numbers_on_the_page_are_the_printed_ones(toured):
    folder, _, printed = toured
    words = "".join(Page((folder / "index.html").read_text()).words)
    numbers = re.findall(r"\d+ of \d+|\d+\.\d%|\de-\d+", printed)
    assert len(numbers) > 15 and [number for number in numbers if number not in words] == []


def test_what_ran_is_said(toured):
    _, _, printed = toured
    assert re.findall(r"runs on (\w+)", printed) == [
        "lattice",
        "lattice",
        "mean",
        "spmm",
        "lattice",
    ]
    assert "not on mean: not all receive from all" in printed
    assert re.search(r"p4 CNN +\d+ .* 500 of 500 ", printed)
    assert "exact under C4\n" in printed and "not exact under C4\n" in printed
    assert (
        len(re.findall(r"^\[\d/5\]", printed, re.M)) == 5
        and len(re.findall(r"^ +\d+\.\d s$", printed, re.M)) == 5
    )


def test_both_networks_have_about_as_many_parameters(toured):
    _, _, printed = toured
    p4, plain = (
        int(re.search(rf"^ +{name} +(\d+) ", printed, re.M)[1]) for name in ("p4 CNN", "CNN")
    )
    assert abs(p4 - plain) < 0.02 * plain


@pytest.fixture
def quick(monkeypatch):
    """Stops that take no time, one picture among them; each can be replaced again."""
    for name in ("five_domains", "karate_club", "transformer", "weight_tying", "rotated_digits"):
        monkeypatch.setattr(stops, name, lambda *_: Stop("Nothing.", [("a", "b"), ("1", "2")]))
    figure = g.viz.tying(g.itself(), g.Complete(2))
    shown = (stops.Picture("one.png", figure, "one", "One."),)
    monkeypatch.setattr(
        stops, "five_domains", lambda: Stop("One <picture>.", [("a",), ("<1>",)], pictures=shown)
    )
    return monkeypatch


def quietly(folder) -> int:
    return tour.run(folder, progress=lambda _: None)


def test_an_earlier_tour_is_replaced_and_an_empty_folder_is_filled(quick, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    assert quietly(folder) == 0
    first = (folder / "index.html").stat().st_ino
    assert quietly(folder) == 0
    assert (folder / "index.html").stat().st_ino != first
    assert {path.name for path in folder.iterdir()} == {"index.html", "one.png"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert "&lt;1&gt;" in (folder / "index.html").read_text()


@pytest.mark.parametrize("name", ["notes.txt", "index.html", "feature-maps.png"])
def test_a_folder_with_other_files_is_refused_before_anything_runs(quick, tmp_path, name):
    quick.setattr(stops, "five_domains", lambda: pytest.fail("a stop ran"))
    (tmp_path / name).write_text("mine")
    with pytest.raises(g.GeodlError, match=f"{name}, not of a tour; choose another folder"):
        quietly(tmp_path)
    assert (tmp_path / name).read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


def test_a_file_added_to_an_earlier_tour_is_kept(quick, tmp_path):
    folder = tmp_path / "out"
    quietly(folder)
    quick.setattr(
        stops,
        "transformer",
        lambda: (folder / "mine.txt").write_text("mine") and Stop("", [("a",)]),
    )
    with pytest.raises(g.GeodlError, match=r"mine\.txt, not of a tour"):
        quietly(folder)
    assert (folder / "mine.txt").read_text() == "mine" and (folder / "one.png").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_a_failure_leaves_nothing_half_written(quick, tmp_path, error):
    def fail():
        raise error("in the middle")

    folder = tmp_path / "out"
    quietly(folder)
    before = (folder / "index.html").read_bytes()
    quick.setattr(stops, "weight_tying", fail)
    for place in (folder, tmp_path / "new"):
        with pytest.raises(error, match="in the middle"):
            quietly(place)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (folder / "index.html").read_bytes() == before


def test_places_that_cannot_hold_a_folder_are_refused(quick, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(g.GeodlError, match="a file of that name"):
        quietly(tmp_path / "file")
    with pytest.raises(g.GeodlError, match="no folder .*missing"):
        quietly(tmp_path / "missing" / "out")
    with pytest.raises(g.GeodlError, match="choose a folder that can be written"):
        quietly(tmp_path / ("x" * 255))


def test_what_is_not_exact_fails_the_tour_and_is_said(quick, tmp_path):
    lines = []
    quick.setattr(stops, "transformer", lambda: Stop("", [("a",)], holds=False))
    assert tour.run(tmp_path / "out", progress=lines.append) == 1
    assert any("NOT exact: A Transformer is a graph network" in line for line in lines)
    assert "must be exact was not" in (tmp_path / "out" / "index.html").read_text()


def test_a_wrong_attention_is_not_exact(monkeypatch):
    """The fault that the Transformer's stop has to see: torch's weights, but heads that are split
    otherwise.
    """

    def transposed(layer, state, *args):
        torch.nn.Module.load_state_dict(
            layer, {**state, "in_proj_weight": state["in_proj_weight"].flip(0)}
        )

    assert stops.transformer().holds
    monkeypatch.setattr(g.Attention, "load_state_dict", transposed)
    assert not stops.transformer().holds


def test_text_is_in_columns():
    assert (
        text(Stop("", [("a", "bb"), ("ccc", "d")], "e")) == "      a    bb\n      ccc  d\n\n      e"
    )

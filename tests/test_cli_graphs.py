"""The commands that draw what a trained graph network reads."""

import pytest

from geodl.train import RECIPES, run
from tests.test_cli import here, says

__all__ = ["here"]


@pytest.fixture(scope="module")
def club(tmp_path_factory):
    """A finished run on the karate club."""
    folder = tmp_path_factory.mktemp("runs") / "club"
    run(RECIPES["karate-gcn"], folder=folder, seeds=1)
    return str(folder)


def test_what_an_answer_rests_on_is_drawn(club, here, capsys):
    words = ("draw", "neighborhood", club, "--node", "16", "--to", "node.png")
    assert says(capsys, *words) == (0, "node.png\n", "")
    assert (here / "node.png").read_bytes().startswith(b"\x89PNG")
    assert says(capsys, "draw", "smoothing", club, "--to", "curve.png") == (0, "curve.png\n", "")
    assert (here / "curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("neighborhood", "--node", "34"), "34 nodes in karate-gcn; give a number from 0 to 33"),
        (("neighborhood", "--hops", "0"), "the size 0"),
        (("smoothing", "CLUB"), "another run of karate-gcn"),
    ],
)
def test_what_cannot_be_drawn_is_told(words, told, club, here, capsys):
    picture, *rest = [club if word == "CLUB" else word for word in words]
    status, out, err = says(capsys, "draw", picture, club, *rest, "--to", "a.png")
    assert (status, out) == (2, "")
    assert told in err
    assert list(here.iterdir()) == []

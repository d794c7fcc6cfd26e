"""Cards, mirror, downloads: what is not verified is never used, and what is half-written never
stays.
"""

import hashlib
import shutil
import sys
from pathlib import Path

import pytest
import requests

from geodl import data
from geodl.data import cards, fetch
from geodl.errors import GeodlError

CONTENT = b"0123456789" * 100
SHA = hashlib.sha256(CONTENT).hexdigest()
CARD = f"""
title = "Toy"
source = "nowhere"
citation = "none"
licence = "none"
splits = "none"
notes = "none"
[[files]]
path = "toys/raw/toy.bin"
url = "https://example.invalid/toy.bin"
bytes = {len(CONTENT)}
sha256 = "{SHA}"
"""


class Network:
    """Stands where the downloader stands: serves a dictionary of addresses, counts the calls."""

    def __init__(self):
        self.served: dict[str, bytes] = {}
        self.asked: list[str] = []

    def __call__(self, url: str, path: Path) -> None:
        self.asked.append(url)
        if url not in self.served:
            raise requests.ConnectionError("no network")
        path.write_bytes(self.served[url])


@pytest.fixture
def network(tmp_path, monkeypatch) -> Network:
    """A package that knows one data set, `toy`; an empty root, no mirror, and a network that is
    down.
    """
    package, network = tmp_path / "package", Network()
    (package / "datasets" / "toy").mkdir(parents=True)
    (package / "datasets" / "toy" / "card.toml").write_text(CARD)
    monkeypatch.setattr(cards, "PACKAGE", package)
    monkeypatch.setattr(fetch, "_download", network)
    monkeypatch.setenv("GEODL_DATA", str(tmp_path / "root"))
    monkeypatch.delenv("GEODL_MIRROR", raising=False)
    return network


@pytest.fixture
def toy_mirror(tmp_path, monkeypatch, network) -> Path:
    """The one file of a mirror folder, in its place."""
    file = tmp_path / "mirror" / "toys" / "raw" / "toy.bin"
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    monkeypatch.setenv("GEODL_MIRROR", str(tmp_path / "mirror"))
    return file


def left_behind() -> list[Path]:
    return [path for path in data.root().rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", data.names())
def test_cards_are_complete(name):
    card = data.card(name)
    assert all([card.title, card.source, card.citation, card.licence, card.splits, card.notes])
    for file in card.files:
        ending = ".zip" if file.member else "/" + file.name
        in_mirrors_only = name == "cifar10"
        assert in_mirrors_only or file.url.startswith("https://")
        assert file.url.endswith(ending) or (in_mirrors_only and file.url == "")
        assert len(file.sha256) == 64 and file.bytes > 0


def test_names_are_the_loaders():
    assert data.names() == (
        "cifar10",
        "cifar10_official",
        "citeseer",
        "cora",
        "digits",
        "karate",
        "mnist",
        "mutag",
        "proteins",
        "rotated_mnist",
        "tatoeba",
        "tinyshakespeare",
    )
    assert all(callable(getattr(data, name)) for name in data.names())


@pytest.mark.parametrize("ask", [data.card, data.get, data.check])
def test_an_unknown_name_suggests_the_nearest(ask):
    with pytest.raises(GeodlError, match="'coraa'.*'cora'"):
        ask("coraa")


def test_root_is_the_variable_else_the_checkout_else_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GEODL_DATA", str(tmp_path))
    assert data.root() == tmp_path
    monkeypatch.delenv("GEODL_DATA")
    assert (data.root() / "cora" / "card.toml").is_file()
    (tmp_path / "datasets").mkdir()
    monkeypatch.setattr(cards, "PACKAGE", tmp_path)
    assert data.root().name == "geodl" and tmp_path not in data.root().parents


def test_without_pooch_the_error_says_what_to_install(network, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.delenv("GEODL_DATA")
    with pytest.raises(GeodlError, match=r'pip install "geodl\[data\]"'):
        data.get("toy")


def test_a_mirror_folder_needs_neither_network_nor_pooch(toy_mirror, network, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    (path,) = data.get("toy")
    assert path == data.root() / "toy" / "toy.bin" and path.read_bytes() == CONTENT
    assert left_behind() == [path] and network.asked == []
    toy_mirror.unlink()
    assert data.get("toy") == (path,)


def test_the_mirror_is_only_read(toy_mirror):
    before = toy_mirror.stat().st_mtime_ns, toy_mirror.parent.stat().st_mtime_ns
    data.get("toy")
    assert (toy_mirror.stat().st_mtime_ns, toy_mirror.parent.stat().st_mtime_ns) == before
    assert [path.name for path in toy_mirror.parents[2].rglob("*")] == ["toys", "raw", "toy.bin"]
    assert toy_mirror.read_bytes() == CONTENT


def test_a_mirror_url_is_asked_before_the_network(network, monkeypatch):
    monkeypatch.setenv("GEODL_MIRROR", "https://mirror.invalid/data/")
    network.served["https://example.invalid/toy.bin"] = CONTENT
    assert data.get("toy")[0].read_bytes() == CONTENT
    assert network.asked == [
        "https://mirror.invalid/data/toys/raw/toy.bin",
        "https://example.invalid/toy.bin",
    ]


def test_what_the_mirror_lacks_comes_from_the_network(toy_mirror, network):
    toy_mirror.unlink()
    network.served["https://example.invalid/toy.bin"] = CONTENT
    assert data.get("toy")[0].read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["nowhere/at/all", "ftp://example.invalid"])
def test_a_mirror_that_is_none_is_refused(network, monkeypatch, name):
    monkeypatch.setenv("GEODL_MIRROR", name)
    with pytest.raises(GeodlError, match="neither a folder nor"):
        data.get("toy")


def test_no_network_says_what_was_tried_and_what_to_set(network):
    with pytest.raises(GeodlError) as raised:
        data.get("toy")
    for said in (
        "https://example.invalid/toy.bin",
        "no network",
        "GEODL_MIRROR",
        "toys/raw/toy.bin",
    ):
        assert said in str(raised.value)
    assert left_behind() == []


@pytest.mark.parametrize("content", [b"x" + CONTENT[1:], CONTENT[:-1], b""])
@pytest.mark.parametrize("place", ["root", "mirror", "network"])
def test_another_sha256_is_an_error_that_names_both_sums(toy_mirror, network, place, content):
    path = data.root() / "toy" / "toy.bin"
    if place == "root":
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    elif place == "mirror":
        toy_mirror.write_bytes(content)
    else:
        toy_mirror.unlink()
        network.served["https://example.invalid/toy.bin"] = content
    with pytest.raises(GeodlError) as raised:
        data.get("toy")
    for said in (SHA, hashlib.sha256(content).hexdigest(), "toy.bin"):
        assert said in str(raised.value)
    assert ("truncated" in str(raised.value)) == (len(content) < len(CONTENT))
    assert left_behind() == ([path] if place == "root" else [])


def test_a_write_that_fails_half_way_leaves_nothing(toy_mirror, monkeypatch):
    def full(source, target):
        Path(target).write_bytes(CONTENT[:50])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(GeodlError, match="No space left"):
        data.get("toy")
    assert left_behind() == []


def test_an_interrupted_download_leaves_nothing(network, monkeypatch):
    def interrupted(url, path):
        path.write_bytes(CONTENT[:50])
        raise KeyboardInterrupt

    monkeypatch.setattr(fetch, "_download", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.get("toy")
    assert left_behind() == []


def test_two_fetches_at_once_do_not_meet(network, monkeypatch):
    """A second fetch runs from start to end in the middle of the first one's download."""

    def slow(url, path):
        path.write_bytes(CONTENT[:50])
        monkeypatch.setattr(fetch, "_download", lambda url, path: path.write_bytes(CONTENT))
        data.get("toy")
        assert path.read_bytes() == CONTENT[:50]
        path.write_bytes(CONTENT)

    monkeypatch.setattr(fetch, "_download", slow)
    (path,) = data.get("toy")
    assert path.read_bytes() == CONTENT and left_behind() == [path]


def test_a_root_that_cannot_be_written(toy_mirror, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("GEODL_DATA", str(tmp_path / "file"))
    with pytest.raises(GeodlError, match="GEODL_DATA"):
        data.get("toy")


def test_downloads_go_through_pooch_with_a_progress_bar(tmp_path, monkeypatch):
    made = {}

    class Downloader:
        def __init__(self, progressbar):
            made["progressbar"] = progressbar

        def __call__(self, url, path, pooch):
            Path(path).write_text(url)

    monkeypatch.setattr("pooch.HTTPDownloader", Downloader)
    fetch._download("https://example.invalid/a", tmp_path / "a")
    assert (
        made == {"progressbar": True}
        and (tmp_path / "a").read_text() == "https://example.invalid/a"
    )


def test_check_tells_ok_missing_truncated_and_wrong(toy_mirror):
    path = data.root() / "toy" / "toy.bin"
    assert data.check("toy") == [(path, "missing")]
    data.get("toy")
    assert data.check("toy") == [(path, "ok")]
    path.write_bytes(CONTENT[:-1])
    assert data.check("toy")[0][1].startswith(
        f"truncated ({len(CONTENT) - 1} of {len(CONTENT)} bytes"
    )
    path.write_bytes(b"x" * len(CONTENT))
    assert data.check("toy")[0][1].startswith("wrong SHA-256 (")


def test_a_data_set_made_from_another_has_its_files(tmp_path, monkeypatch):
    monkeypatch.setenv("GEODL_DATA", str(tmp_path))
    assert data.check("rotated_mnist") == data.check("mnist")
    assert data.check("karate") == [] and data.get("digits") == ()

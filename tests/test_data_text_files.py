"""Texts in files and in batches: the facts of both data sets, word vectors, members of archives,
windows and padding.
"""

import copy
import shutil
import zipfile
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geodl import data
from geodl.cli import main
from geodl.data import fetch
from geodl.errors import GeodlError

VECTORS = "king 1 2 3\nqueen 1.5 -2 3e-1\n, 0 0 0\n"


def test_tinyshakespeare_facts(data_root):
    text = data.tinyshakespeare()
    assert text.name == "tinyshakespeare" and (len(text.train), len(text.val)) == (1003854, 111540)
    assert text.train.startswith("First Citizen:") and (text.train + text.val).count("\n") == 40000
    assert (
        text.vocabulary == data.Vocabulary(tuple(sorted(set(text.train + text.val))))
        and len(text.vocabulary) == 65
    )
    ids = text.vocabulary.encode(text.val)
    assert (int(ids.min()), int(ids.max())) == (0, 64) and text.vocabulary.decode(ids) == text.val
    task = data.truecase(text.val)
    assert (
        data.recase(task.text, task.upper) == text.val
        and 0.05 < task.upper[task.letters].float().mean() < 0.15
    )


def test_tatoeba_facts(data_root, mirror):
    pairs = data.tatoeba()
    parts = pairs.train, pairs.val, pairs.test
    assert [(len(part), len(part.pairs)) for part in parts] == [
        (4691, 7932),
        (602, 1007),
        (607, 1027),
    ]
    lines = (mirror / "tatoeba" / "eng-fra-10k.txt").read_text(encoding="utf-8").split("\n")[:-1]
    raw = {tuple(" ".join(side.split()) for side in line.split("\t")) for line in lines}
    assert {pair for part in parts for pair in part.pairs} == raw and len(raw) == 9966
    assert all(
        data.part(english) == name
        for name in ("train", "val", "test")
        for english in getattr(pairs, name).references
    )
    texts = [text for part in parts for pair in part.pairs for text in pair]
    assert all(data.normalized(text) == text for text in texts) and not set(
        "\u202f\u00a0\u2009"
    ) & set("".join(texts))
    assert {text for text in texts if data.join(data.words(text)) != text} == {"J'aime le R&B."}
    assert len(copy.deepcopy(pairs).test) == 607


def test_what_crosses_in_tatoeba_is_what_the_card_says(data_root):
    pairs = data.tatoeba()
    parts = pairs.train, pairs.val, pairs.test
    assert data.crossing(*(part.references for part in parts)) == []
    french = [{text for _, text in part.pairs} for part in parts]
    seen = [[text in french[0] for text in several] for several in pairs.test.references.values()]
    bare = [
        {"".join(filter(str.isalnum, english)).lower() for english in part.references}
        for part in parts
    ]
    near = sum(
        "".join(filter(str.isalnum, english)).lower() in bare[0]
        for english in pairs.test.references
    )
    found = (
        len(data.crossing(*french)),
        len(set().union(*french)),
        sum(map(any, seen)),
        sum(map(all, seen)),
        near,
    )
    print(
        f"French sentences in several parts: {found[0]} of {found[1]}; test "
        "sentences with a, with every translation in train:"
        f" {found[2]}, {found[3]}; test sentences in train but for case and marks: {found[4]}"
    )
    assert found == (263, 9113, 88, 62, 9)
    assert all(str(number) in data.card("tatoeba").notes for number in found)


def test_language_id_facts(data_root):
    found = data.language_id()
    parts = found.train, found.val, found.test
    data.disjoint(*(part.texts for part in parts))
    assert [part.labels.bincount().tolist() for part in parts] == [
        [4691, 7268],
        [601, 899],
        [607, 945],
    ]
    assert "Ignore Tom." not in {text for part in parts for text in part.texts}
    assert [(text, found.classes[k]) for text, k in zip(*found.test, strict=True)][:2] == [
        ("Attack!", "English"),
        ("Attaque !", "French"),
    ]


def test_the_command_line_shows_the_texts(data_root, capsys):
    assert (
        main(["data", "get", "tatoeba", "tinyshakespeare"]) == 0
        and "tatoeba: 2 files in" in capsys.readouterr().out
    )
    assert (
        main(["data", "check", "tatoeba"]) == 0 and "eng-fra-10k.txt ok" in capsys.readouterr().out
    )
    assert main(["data", "list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == list(data.names())
    assert (
        len(
            {
                line.index(data.card(name).title)
                for name, line in zip(data.names(), listed, strict=True)
            }
        )
        == 1
    )


@pytest.fixture
def archive(tmp_path, monkeypatch, mirror):
    """An archive with the member that the card of tatoeba names, longer than what is wanted of it;
    no mirror has it.
    """
    packed = tmp_path / "archive.zip"
    wanted = (mirror / "tatoeba" / "eng-fra-10k.txt").read_bytes()
    with zipfile.ZipFile(packed, "w") as opened:
        opened.writestr("fra.txt", wanted + b"One more.\tEncore un.\n")
        opened.writestr("_about.txt", (mirror / "tatoeba" / "about.txt").read_bytes())
    monkeypatch.setenv("GEODL_DATA", str(tmp_path / "root"))
    monkeypatch.delenv("GEODL_MIRROR", raising=False)
    monkeypatch.setattr(fetch, "_download", lambda url, path: shutil.copyfile(packed, path))
    return packed


def test_members_of_an_archive_and_their_first_lines(archive, mirror):
    for path in data.get("tatoeba"):
        assert path.read_bytes() == (mirror / "tatoeba" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (None, "not a zip file"),
        ({}, "no fra.txt in the archive"),
        ({"fra.txt": b"Go.\tVa !\n"}, "truncated"),
    ],
)
def test_an_archive_without_the_member_leaves_nothing(archive, members, said):
    archive.write_bytes(b"no archive")
    if members is not None:
        with zipfile.ZipFile(archive, "w") as opened:
            for name, content in members.items():
                opened.writestr(name, content)
    with pytest.raises(GeodlError, match=said):
        data.get("tatoeba")
    assert [path for path in data.root().rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "text",
    [
        VECTORS,
        "3 3\n" + VECTORS,
        VECTORS.replace("\n", " \r\n"),
        VECTORS.rstrip("\n"),
        "\ufeff" + VECTORS,
    ],
)
def test_word_vectors(tmp_path, text):
    path = tmp_path / "vectors.txt"
    path.write_bytes(text.encode())
    vocabulary, vectors = data.load_vectors(path)
    assert vocabulary.symbols == ("king", "queen", ",") and vocabulary.unit == "word"
    assert torch.equal(vectors, torch.tensor([[1, 2, 3], [1.5, -2, 0.3], [0, 0, 0]]))
    assert torch.equal(vectors[vocabulary.encode("queen, king")], vectors[[1, 2, 0]])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a 1 2\nb 1\n", "line 2.*1 numbers after 'b'.*2 of them"),
        ("a 1 2\nb 1 2 3\n", "line 2.*3 numbers"),
        ("2 3\na 1 2\n", "line 2.*2 numbers after 'a'.*3 of them"),
        ("3 1\na 1\nb 1\n", "the 3 words that line 1.*found 2"),
        ("a 1\nb x\n", "line 2.*'x'"),
        ("a 1\nb 1_0\n", "line 2"),
        ("a 1\nb nan\n", "line 2.*not finite"),
        ("a 1\nb 2\na 1\n", "line 3.*'a' again"),
        ("a 1\n\nb 1\n", "line 2.*after ''"),
        ("a\n", "line 1.*0 numbers after 'a'"),
        ("a  1\n", "line 1"),
        ("2 0\na\nb\n", "line 2"),
        ("", "no line"),
        (b"a 1\n\xff 1\n", "line 2.*UTF-8"),
        (None, "No such file"),
    ],
)
def test_what_is_no_file_of_word_vectors(tmp_path, text, said):
    path = tmp_path / "vectors.txt"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(GeodlError, match=said):
        data.load_vectors(path)


@given(st.integers(2, 40), st.integers(1, 10), st.integers(0, 99))
def test_blocks_are_windows_of_the_text(size, length, seed):
    ids, length = torch.arange(7, 7 + size), min(length, size - 1)
    inputs, targets = data.blocks(
        ids, length, batch=64, generator=torch.Generator().manual_seed(seed)
    )
    again = data.blocks(ids, length, batch=64, generator=torch.Generator().manual_seed(seed))
    assert (
        inputs.shape == targets.shape == (64, length)
        and inputs.is_contiguous()
        and targets.is_contiguous()
    )
    assert torch.equal(targets, inputs + 1) and torch.equal(
        inputs, inputs[:, :1] + torch.arange(length)
    )
    assert inputs.min() >= 7 and targets.max() < 7 + size and torch.equal(inputs, again[0])


def test_blocks_reach_both_ends():
    inputs, targets = data.blocks(
        torch.arange(6), 3, batch=200, generator=torch.Generator().manual_seed(0)
    )
    assert inputs.unique().tolist() == [0, 1, 2, 3, 4] and targets.max() == 5


@given(st.integers(2, 40), st.integers(1, 10))
def test_windows_hold_every_prediction_once(size, length):
    ids, length = torch.arange(size), min(length, size - 1)
    inputs, targets = data.windows(ids, length)
    assert torch.equal(inputs.flatten(), ids[: inputs.numel()]) and torch.equal(targets, inputs + 1)
    assert size - 1 - length < inputs.numel() <= size - 1


@given(st.lists(st.lists(st.integers(1, 9), max_size=5), max_size=6))
def test_padding_adds_only_what_the_mask_leaves_out(sequences):
    ids, mask = data.padded([torch.tensor(s, dtype=torch.int64) for s in sequences], 0)
    assert ids.shape == mask.shape == (len(sequences), max(map(len, sequences), default=0))
    assert [row[keep].tolist() for row, keep in zip(ids, mask, strict=True)] == sequences
    assert not ids[~mask].any() and ids[mask].all()


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 7), st.integers(0, 99))
def test_buckets_hold_everything_once_and_neighbours_in_length(lengths, batch, seed):
    groups = data.bucketed(lengths, batch, generator=torch.Generator().manual_seed(seed))
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    assert sum(len(group) < batch for group in groups) <= 1
    spans = sorted(
        (min(lengths[i] for i in group), max(lengths[i] for i in group)) for group in groups
    )
    assert all(high <= low for (_, high), (low, _) in pairwise(spans))


def test_buckets_are_mixed_anew():
    generator = torch.Generator().manual_seed(0)
    first, second = (data.bucketed([5] * 40, 4, generator=generator) for _ in range(2))
    assert first != second == data.bucketed(np.full(40, 5), 4, generator=_after_one(40, 4))


def _after_one(count, batch):
    generator = torch.Generator().manual_seed(0)
    data.bucketed([1] * count, batch, generator=generator)
    return generator


IDS = torch.arange(5)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (partial(data.blocks, IDS, 5, batch=1), "a text of 5; give a length from 1 to 4"),
        (partial(data.blocks, IDS, 0, batch=1), "length from 1"),
        (partial(data.blocks, IDS[:1], 1, batch=1), "longer text"),
        (partial(data.blocks, IDS, 2, batch=0), "at least 1"),
        (partial(data.blocks, IDS.float(), 2, batch=1), "torch.float32"),
        (partial(data.windows, IDS[None], 2), r"shape \[1, 5\]"),
        (partial(data.windows, IDS, 9), "length from 1 to 4"),
        (partial(data.padded, [IDS, IDS[None]], 0), "at place 1"),
        (partial(data.padded, [IDS, IDS.int()], 0), "torch.int32 at place 1"),
        (partial(data.padded, [IDS > 2], 0), "torch.bool at place 0"),
        (partial(data.bucketed, [1, 2], 0), "at least 1"),
        (partial(data.bucketed, [1.5, 2.0], 1), r"integers \[M\]"),
        (partial(data.blocks, [1, 2, 3], 2, batch=1), "found a list; give its numbers"),
        (partial(data.blocks, IDS.numpy(), 2, batch=1), "found a ndarray"),
        (partial(data.blocks, IDS, 2, batch=1.0), "found a float; give an integer"),
        (partial(data.blocks, IDS, "2", batch=1), "found a str; give a length"),
        (partial(data.windows, [1, 2, 3], 2), "found a list; give its numbers"),
        (partial(data.windows, IDS, True), "length from 1"),
        (partial(data.padded, [[1, 2], [3]], 0), "found a list at place 0; give vectors"),
        (partial(data.padded, [IDS, 3], 0), "found a int at place 1"),
        (partial(data.padded, IDS[None], 0), r"shape \[1, 5\].*give a list"),
        (partial(data.padded, [IDS], 0.5), "fill=0.5: found a float"),
        (partial(data.bucketed, [1, "a"], 1), "found a list of other things"),
        (partial(data.bucketed, 5, 1), r"found shape \[\]"),
        (partial(data.bucketed, [[1], [2, 3]], 1), "found a list of other things"),
        (partial(data.load_vectors, 5), "found a int; give the path"),
    ],
)
def test_batches_that_cannot_be(call, said):
    with pytest.raises(GeodlError, match=said):
        call()

"""Texts: symbols and words come back as they went in, parts share nothing, bad input is named."""

import hashlib
import json
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geodl import data
from geodl.data.text import read_pairs, split_pairs, tell_apart
from geodl.errors import GeodlError

SENTENCES = [
    "L'as-tu vu ?",
    "Est-ce qu'il n'y a pas d'eau ?",
    "Va-t'en !",
    "Dis : « s'il te plaît ».",
    "Aujourd'hui, c'est fini...",
    "I don't know.",
    "It's Tom's; they've gone!",
    "It's 3:30.",
    "Here's $5.",
    "Je suis ravi(e).",
    "R & B",
    "I'd've gone.",
    "C\u2019est \u2018ici\u2019.",
    "Où ça ?!",
    "",
    "Go",
    "1,000.5 km",
    "o'clock - now",
    "Rock'n'roll",
]
PAIRS = [
    ("Run!", "Cours !"),
    ("Run!", "Courez !"),
    ("Run!", "Cours !"),
    ("Flee!", "Courez !"),
    ("Tom.", "Tom."),
    ("Go.", "Va !"),
]


@pytest.mark.parametrize("text", SENTENCES)
def test_sentences_come_back_from_their_words(text):
    assert data.join(data.words(text)) == text
    assert "".join(data.words(text)).replace(" ", "") == text.replace(" ", "")


@given(st.text("ab1'- .,!?(«é\u202f\"&$", max_size=12))
def test_words_of_joined_words_are_the_words(text):
    assert data.words(data.join(data.words(text))) == data.words(text)


def test_words_split_marks_elisions_endings_and_hyphens():
    assert data.words("L'eau, l'air") == ["L'", "eau", ",", "l'", "air"]
    assert data.words("Donne-m'en !") == ["Donne", "-m'", "en", " !"]
    assert data.words("he's he'S shan't l'tas") == [
        "he",
        "'s",
        "he",
        "'S",
        "shan",
        "'t",
        "l'",
        "tas",
    ]
    assert data.join(["I", "<unk>", "you", "<mask>", "."]) == "I <unk> you <mask>."


def test_normalized_spaces_and_accents():
    assert data.normalized("\tVa\u202f! A\u00a0b\u2009c  e\u0301\n") == "Va ! A b c \u00e9"


@given(st.text(max_size=30))
def test_a_text_comes_back_from_its_characters(text):
    vocabulary = data.Vocabulary.of_characters(["x", text], specials=data.SPECIALS)
    ids = vocabulary.encode(text)
    assert ids.dtype == torch.int64 and ids.shape == (len(text),)
    assert vocabulary.decode(ids) == vocabulary.decode(ids.tolist()) == text
    framed = vocabulary.framed(text)
    assert torch.equal(framed[1:-1], ids) and framed[[0, -1]].tolist() == [1, 2]
    assert vocabulary.decode(torch.cat([framed, ids, torch.tensor([0])])) == text


def test_words_are_numbered_by_how_common_they_are():
    texts = ["b a c", "a b", "a d"]
    assert data.Vocabulary.of_words(texts).symbols == ("a", "b", "c", "d")
    assert data.Vocabulary.of_words(texts, at_least=2, specials=["<unk>"]).symbols == (
        "<unk>",
        "a",
        "b",
    )
    few = data.Vocabulary.of_words(texts, at_most=1, specials=["<unk>", "<mask>"])
    assert few.encode("a zebra").tolist() == [2, 0] and few.encode(["a", "<mask>"]).tolist() == [
        2,
        1,
    ]
    assert few.decode([2, 0, 1]) == "a <unk> <mask>"


def test_a_vocabulary_goes_through_json_and_another_is_told():
    one = data.Vocabulary.of_characters(["héllo"], specials=["<pad>"])
    again = data.Vocabulary.from_dict(json.loads(json.dumps(one.to_dict())))
    assert again == one and hash(again) == hash(one) and again.fingerprint == one.fingerprint
    assert pickle.loads(pickle.dumps(one)) == one
    plain = '{"symbols":["<pad>","h","l","o","\\u00e9"],"unit":"character"}'
    assert (
        one.symbols == ("<pad>", "h", "l", "o", "é")
        and one.fingerprint == hashlib.sha256(plain.encode()).hexdigest()
    )
    others = [
        data.Vocabulary(one.symbols[::-1]),
        data.Vocabulary(one.symbols, "word"),
        data.Vocabulary(one.symbols[:-1]),
    ]
    assert len({v.fingerprint for v in [one, *others]}) == len({one, *others}) == 4


def test_an_unknown_character_is_named_with_its_place():
    vocabulary = data.Vocabulary.of_characters(["ab"])
    with pytest.raises(GeodlError, match=r"'é' at position 2.*<unk>"):
        vocabulary.encode("abéa")
    with pytest.raises(GeodlError, match=r"'<bos>'.*specials=\['<bos>'\]"):
        vocabulary.framed("ab")
    known = data.Vocabulary.of_characters(["ab"], specials=["<unk>"])
    assert known.encode("abé").tolist() == [1, 2, 0]
    with pytest.raises(GeodlError, match="word 'fish' at position 1"):
        data.Vocabulary.of_words(["a b"]).encode("a fish")
    with pytest.raises(GeodlError, match="a int; give a text"):
        vocabulary.encode(5)
    for numbers in ("ab", [[0], [0, 1]]):
        with pytest.raises(GeodlError, match=r"give integers \[T\]"):
            vocabulary.decode(numbers)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (partial(data.Vocabulary, ()), "no symbol"),
        (partial(data.Vocabulary, ("a", "b", "a")), "'a' twice"),
        (partial(data.Vocabulary, ("a", "bc")), "'bc'"),
        (partial(data.Vocabulary, ("a", "")), "none of them empty"),
        (partial(data.Vocabulary, ["a"]), "tuple"),
        (partial(data.Vocabulary, ("a",), "words"), "did you mean 'word'"),
        (partial(data.Vocabulary.of_characters, "abc"), "list of strings"),
        (partial(data.Vocabulary.of_words, ["a", 3]), "list of strings"),
        (partial(data.Vocabulary.of_words, ["a"], at_least=0), "at least 1"),
        (partial(data.Vocabulary.of_words, ["a"], at_least=2), "no symbol"),
        (partial(data.Vocabulary.of_characters, ["a"], specials=["<end>"]), "<eos>"),
        (
            partial(data.Vocabulary.of_characters, ["a"], specials=["<pad>", "<pad>"]),
            "'<pad>' twice",
        ),
        (partial(data.Vocabulary.from_dict, {"symbols": ["a"]}), "unit"),
        (partial(data.Vocabulary.from_dict, {"symbols": "ab", "unit": "character"}), "symbols"),
        (partial(data.Vocabulary(("a", "b")).decode, [0, 2]), "2 at position 1"),
        (partial(data.Vocabulary(("a", "b")).decode, [-1]), "-1 at position 0"),
        (
            partial(data.Vocabulary(("a", "b")).decode, torch.zeros(2, 2, dtype=torch.int64)),
            r"integers \[T\]",
        ),
        (partial(data.Vocabulary(("a", "b")).decode, [0.0]), r"integers \[T\]"),
    ],
)
def test_what_is_no_vocabulary(make, said):
    with pytest.raises(GeodlError, match=said):
        make()


def test_the_split_is_the_hash():
    for text in ("I love you.", "Ça va ?", ""):
        rest = int(hashlib.sha256(text.encode("utf-8")).hexdigest(), 16) % 10
        assert data.part(text) == {0: "test", 1: "val"}.get(rest, "train")


def test_a_planted_leak_is_found():
    pairs = split_pairs("toy", [(str(i), f"f{i}") for i in range(200)])
    parts = [list(part.references) for part in (pairs.train, pairs.val, pairs.test)]
    data.disjoint(*parts)
    assert min(map(len, parts)) > 5 and data.crossing(*parts) == []
    parts[2].append(parts[0][7])
    with pytest.raises(GeodlError, match=f"1 strings in several, as '{parts[0][7]}'"):
        data.disjoint(*parts)


def test_pairs_are_grouped_and_each_is_there_once():
    pairs = split_pairs("toy", PAIRS)
    whole = {
        english: french
        for part in (pairs.train, pairs.val, pairs.test)
        for english, french in part.references.items()
    }
    assert whole == {
        "Run!": ("Cours !", "Courez !"),
        "Flee!": ("Courez !",),
        "Tom.": ("Tom.",),
        "Go.": ("Va !",),
    }
    assert sum(len(part.pairs) for part in (pairs.train, pairs.val, pairs.test)) == 5
    with pytest.raises(GeodlError, match="line 2"):
        read_pairs("a\tb\nc\n")


def test_languages_follow_the_smallest_hash_and_what_is_both_is_left_out():
    found = tell_apart("toy", PAIRS)
    parts = {"train": found.train, "val": found.val, "test": found.test}
    home = {text: name for name, part in parts.items() for text in part.texts}
    labels = {
        text: int(label) for part in parts.values() for text, label in zip(*part, strict=True)
    }
    assert labels == {"Run!": 0, "Flee!": 0, "Go.": 0, "Cours !": 1, "Courez !": 1, "Va !": 1}
    smallest = min("Run!", "Flee!", key=lambda text: hashlib.sha256(text.encode()).hexdigest())
    assert home["Courez !"] == data.part(smallest) and home["Va !"] == home["Go."] == data.part(
        "Go."
    )


@given(st.text(max_size=30))
def test_recase_restores_every_text(text):
    task = data.truecase(text)
    assert data.recase(task.text, task.upper) == text
    assert (
        len(task.text) == len(task.letters) == len(text) and not (task.upper & ~task.letters).any()
    )


def test_truecase_of_odd_letters():
    task = data.truecase("Éß1İ")
    assert (
        task.text == "éß1İ"
        and task.upper.tolist() == [True, False, False, False]
        and task.letters.sum() == 1
    )
    with pytest.raises(GeodlError, match=r"bool \[3\]"):
        data.recase("abc", torch.tensor([1, 0, 0]))


def test_digits_are_spelled():
    names = data.spelled(torch.arange(10))
    assert [names.vocabulary.decode(row) for row in names.ids] == list(data.DIGIT_NAMES)
    assert names.ids.shape == (10, 7) and len(names.vocabulary) == 18
    assert names.mask.sum(1).tolist() == [len(name) + 2 for name in data.DIGIT_NAMES]
    assert data.spelled(torch.zeros(0, dtype=torch.int64)).ids.shape == (0, 7)
    with pytest.raises(GeodlError, match="0 to 9"):
        data.spelled(torch.tensor([10]))


@pytest.mark.parametrize("make", [data.reversal, data.sorting])
def test_generated_parts_share_nothing_and_seeds_are_kept(make):
    def texts(**options):
        task = make(150, lengths=(2, 6), symbols="abcd", **options)
        found = [task.vocabulary.decode(ids) for ids in task.sources]
        right = (lambda t: t[::-1]) if make is data.reversal else (lambda t: "".join(sorted(t)))
        assert [task.vocabulary.decode(ids) for ids in task.targets] == [
            right(text) for text in found
        ]
        return found

    parts = [texts(part=part, seed=seed) for seed, part in enumerate(("train", "val", "test"))]
    data.disjoint(*parts)
    assert all(
        len(set(part)) == 150 and {2, 6} >= {min(map(len, part)), max(map(len, part))}
        for part in parts
    )
    assert texts() == texts() == parts[0] != texts(seed=5)


def test_sorting_follows_the_symbols_and_lengths_may_be_fixed():
    task = data.sorting(5, lengths=(60, 60), symbols="zyx", part="test")
    assert all(len(ids) == 60 for ids in task.sources)
    assert all(
        text == "".join(sorted(text, reverse=True))
        for text in map(task.vocabulary.decode, task.targets)
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"part": "tests"}, "did you mean 'test'"),
        ({"symbols": "aa"}, "each letter once"),
        ({"lengths": (0, 3)}, "from 1 on"),
        ({"lengths": (4, 3)}, "from 1 on"),
        ({"seed": -1}, "seed"),
        ({"seed": "one"}, "seed='one': found a str"),
        ({"lengths": 5}, "give .shortest, longest."),
        ({"lengths": (3,)}, "give .shortest, longest."),
        ({"lengths": ("a", "b")}, "found a str"),
        ({"symbols": ["a", "b"]}, "found a list; give one string"),
        ({"lengths": (1, 1), "symbols": "ab"}, "ask for fewer"),
    ],
)
def test_sequences_that_cannot_be(options, said):
    with pytest.raises(GeodlError, match=said):
        data.reversal(10, **options)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: data.spelled([3, 1]), "found a list; give integers"),
        (lambda: data.spelled(torch.tensor([True])), "torch.bool"),
        (lambda: data.spelled(torch.tensor([3, 10])), "labels from 3 to 10"),
        (lambda: data.reversal("many"), "found a str; give an integer"),
        (lambda: data.truecase(["Tom"]), "found a list; give one string"),
        (lambda: data.recase("tom", [True, False, False]), "found a list"),
        (lambda: data.recase(5, torch.ones(1) > 0), "found a int"),
        (lambda: data.normalized(None), "found a NoneType"),
        (lambda: data.words(["a"]), "found a list"),
        (lambda: data.join("a b"), "found one string; give a list"),
        (lambda: data.join(["a", 5]), "found a int at place 1"),
        (lambda: data.join(5), "found a int"),
        (lambda: data.part(5), "found a int"),
        (lambda: data.crossing("ab", ["b"]), "found one string; give a list"),
        (lambda: data.disjoint(["a"], 5), "found a int"),
        (lambda: data.rotate([[1.0]], 90), "found a list"),
        (lambda: data.rotate(torch.zeros(1, 1, 2, 2), "90"), "give a finite number"),
        (lambda: data.Vocabulary.of_words(["a"], at_least="b"), "found a str"),
        (lambda: data.Vocabulary.of_characters([["a"]]), "found a list at place 0"),
        (lambda: data.Vocabulary(("a",)).encode([["a"]]), "found a list at position 0"),
        (lambda: data.Vocabulary(("a",)).decode([["a"]]), "of other things"),
    ],
)
def test_lists_and_other_things_in_place_of_tensors_and_texts_are_told(call, said):
    with pytest.raises(GeodlError, match=said):
        call()


def test_integers_of_numpy_are_the_integers_they_are():
    ids = torch.arange(9)
    length, count = np.int64(2), np.int32(3)
    assert data.windows(ids, length)[0].shape == (4, 2)
    assert data.blocks(ids, length, batch=count)[0].shape == (3, 2)
    assert len(data.reversal(count, seed=np.int64(0)).sources) == 3

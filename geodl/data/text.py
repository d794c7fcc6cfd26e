"""Texts and pairs of sentences, and the hashed split that no sentence crosses."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, final

import torch
from torch import Tensor

from geodl.data.arguments import check_text, check_texts
from geodl.data.fetch import get
from geodl.data.text_vocabulary import Vocabulary
from geodl.data.text_words import normalized
from geodl.errors import GeodlError

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


@final
@dataclass(frozen=True, eq=False)
class TextData:
    """One long text in two parts.

    Args:
        name: the data set, as it is printed beside a number.
        train: the part to learn from; `val` is the part to report.
        vocabulary: the characters of both.
    """

    name: str
    train: str = field(repr=False)
    val: str = field(repr=False)
    vocabulary: Vocabulary

    def to(self, device: torch.device | str) -> "TextData":
        """Itself: it holds no tensor. Lightning moves a batch by this method."""
        return self


@final
@dataclass(frozen=True, eq=False)
class Translations:
    """English sentences, each once and with all its French translations, in the order of the
    source.

    Args:
        references: the translations of each sentence: what a translation of it is compared with.
    """

    references: Mapping[str, tuple[str, ...]]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(English, French), one for each translation: what a model learns from."""
        return [
            (english, french) for english, several in self.references.items() for french in several
        ]

    def to(self, device: torch.device | str) -> "Translations":
        """Itself: it holds no tensor. Lightning moves a batch by this method."""
        return self

    def __len__(self) -> int:
        return len(self.references)

    def __repr__(self) -> str:
        return f"Translations({len(self)} sentences, {len(self.pairs)} pairs)"


@final
@dataclass(frozen=True, eq=False)
class PairData:
    """Sentences and their translations in three parts that share no English sentence."""

    name: str
    train: Translations
    val: Translations
    test: Translations

    def to(self, device: torch.device | str) -> "PairData":
        """Itself: it holds no tensor. Lightning moves a batch by this method."""
        return self


class Sentences(NamedTuple):
    """Sentences and their labels `[M]`, int64."""

    texts: tuple[str, ...]
    labels: Tensor

    def to(self, device: torch.device | str) -> "Sentences":
        """These sentences, their labels on a device."""
        return Sentences(self.texts, self.labels.to(device))


@final
@dataclass(frozen=True, eq=False)
class SentenceData:
    """Sentences and their classes in three parts that share no sentence; `classes` names label 0,
    label 1, ...
    """

    name: str
    train: Sentences = field(repr=False)
    val: Sentences = field(repr=False)
    test: Sentences = field(repr=False)
    classes: tuple[str, ...]

    def to(self, device: torch.device | str) -> "SentenceData":
        """This data set with its labels on a device."""
        train, val, test = (part.to(device) for part in (self.train, self.val, self.test))
        return replace(self, train=train, val=val, test=test)


def tinyshakespeare() -> TextData:
    """Tiny Shakespeare: 1115394 characters of 65 kinds; the first 90 % train, the last 10 %
    validation, as nanoGPT cuts it.

    Raises:
        GeodlError: if the file is missing everywhere, is truncated, or has another SHA-256 than the
            card says.

    Source: Karpathy, "The Unreasonable Effectiveness of Recurrent Neural Networks", 2015; the split
    is that of nanoGPT's `shakespeare_char`.

    >>> import geodl as g
    >>> data = g.data.tinyshakespeare()  # doctest: +SKIP
    >>> len(data.train), len(data.val), len(data.vocabulary), data.train[:14]  # doctest: +SKIP
    (1003854, 111540, 65, 'First Citizen:')
    """
    (path,) = get("tinyshakespeare")
    text = path.read_bytes().decode("ascii")
    cut = int(0.9 * len(text))
    return TextData("tinyshakespeare", text[:cut], text[cut:], Vocabulary.of_characters([text]))


def tatoeba() -> PairData:
    """Short English sentences and their French translations: 4691 sentences to learn from, 602 and
    607 to judge by.

    Text is `normalized`. A sentence goes, with all its translations, to `part(sentence)`, a hash of
    its English, so that no English sentence stands in two parts. French ones may: 263 of the 9113
    translate sentences of different parts ("C'est un livre." is "That's a book." and "This is a
    book."), and for 62 of the 607 test sentences train has every translation, under another English
    sentence. They stay, because without them references would be missing.

    Raises:
        GeodlError: if the files are missing everywhere, are truncated, or have another SHA-256 than
            the card says.

    Source: the Tatoeba Project (tatoeba.org) by way of www.manythings.org/anki; see its card.

    >>> import geodl as g
    >>> data = g.data.tatoeba()  # doctest: +SKIP
    >>> data.test  # doctest: +SKIP
    Translations(607 sentences, 1027 pairs)
    """
    return split_pairs("tatoeba", _tatoeba())


def language_id() -> SentenceData:
    """Is it English or French? The sentences of `tatoeba`, each once, English ones with label 0 and
    French ones with 1.

    An English sentence goes to its own part; a French one to that of the English sentence with the
    smallest hash among those it translates, so that no French sentence crosses either. What stands
    in both languages has no answer and is left out (one sentence: "Ignore Tom.").

    Raises:
        GeodlError: as for `tatoeba`.

    >>> import geodl as g
    >>> g.data.language_id().classes  # doctest: +SKIP
    ('English', 'French')
    """
    return tell_apart("language-id (made from tatoeba)", _tatoeba())


def part(text: str) -> SplitName:
    """Where a text belongs, by its SHA-256 alone: `int(sha256) % 10` is 0 for test, 1 for val, else
    train.

    >>> import geodl as g
    >>> g.data.part("I love you.")
    'train'
    """
    check_text("the part of a text", text)
    rest = _hash(text) % 10
    if rest == 0:
        return "test"
    if rest == 1:
        return "val"
    return "train"


def crossing(*parts: Iterable[str]) -> list[str]:
    """The strings that stand in more than one part, in alphabetical order; often within one part
    does not count.

    >>> import geodl as g
    >>> g.data.crossing(["a", "b", "b"], ["c", "a"], ["d"])
    ['a']
    """
    several = [check_texts("strings in several parts", texts) for texts in parts]
    counts = Counter(text for texts in several for text in set(texts))
    return sorted(text for text, count in counts.items() if count > 1)


def disjoint(*parts: Iterable[str]) -> None:
    """Refuse parts that share a string.

    Raises:
        GeodlError: if some do; one of them is named, and how many there are.
    """
    leaked = crossing(*parts)
    if leaked:
        found = f"{len(leaked)} strings in several, as {leaked[0]!r}"
        raise GeodlError("parts that share nothing", found, "split by the string")


def read_pairs(text: str) -> list[tuple[str, str]]:
    """The (English, French) pairs of lines `English TAB French`, normalized; a line of another form
    is named.
    """
    pairs = []
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        sides = [normalized(side) for side in line.split("\t")]
        if len(sides) != 2 or not all(sides):
            asked = f"a pair of sentences in line {number}"
            raise GeodlError(asked, f"{line[:60]!r}", "write English, a tab and French")
        english, french = sides
        pairs.append((english, french))
    return pairs


def split_pairs(name: str, pairs: Iterable[tuple[str, str]]) -> PairData:
    """Pairs grouped by their English sentence, each pair once, and each group in its part."""
    groups: dict[str, dict[str, None]] = {}  # dicts as ordered sets
    for english, french in pairs:
        groups.setdefault(english, {})[french] = None
    references: dict[SplitName, dict[str, tuple[str, ...]]] = {split: {} for split in SPLITS}
    for english, several in groups.items():
        references[part(english)][english] = tuple(several)
    disjoint(*references.values())
    train, val, test = (Translations(references[split]) for split in SPLITS)
    return PairData(name, train, val, test)


def tell_apart(name: str, pairs: Iterable[tuple[str, str]]) -> SentenceData:
    """The sentences of both sides of (English, French) pairs, labelled 0 and 1, each once and in
    one part.
    """
    home: dict[str, str] = {}  # of a French sentence: the English one whose part it goes to
    labels: dict[str, set[int]] = {}
    for english, french in pairs:
        home[french] = min(english, home.get(french, english), key=_hash)
        labels.setdefault(english, set()).add(0)
        labels.setdefault(french, set()).add(1)
    found: dict[SplitName, dict[str, int]] = {split: {} for split in SPLITS}
    for text, several in labels.items():
        if several == {0}:
            found[part(text)][text] = 0
        elif several == {1}:
            found[part(home[text])][text] = 1
    disjoint(*found.values())
    train, val, test = (_sentences(found[split]) for split in SPLITS)
    return SentenceData(name, train, val, test, classes=("English", "French"))


def _sentences(labels: Mapping[str, int]) -> Sentences:
    return Sentences(tuple(labels), torch.tensor(list(labels.values()), dtype=torch.int64))


def _tatoeba() -> list[tuple[str, str]]:
    path, _ = get("tatoeba")
    return read_pairs(path.read_bytes().decode("utf-8"))


def _hash(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)

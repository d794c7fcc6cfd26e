"""What one run sees of a text, of sentences, of translations and of generated sequences."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from geodl.data import (
    BOS,
    EOS,
    MASK,
    PAD,
    UNK,
    ImageData,
    PairData,
    SentenceData,
    Sentences,
    Sequences,
    Split,
    TextData,
    Translations,
    Vocabulary,
    spelled,
    truecase,
)
from geodl.train.examples import UNCOUNTED, Blocks, Labelled, Masked, Pairs, Rows, text_windows
from geodl.train.parts import Parts, image_parts

FRAME = (PAD, BOS, EOS)
LENGTHS = range(5, 61, 5)


def text_parts(data: TextData, length: int, steps: int) -> Parts:
    """Random windows to learn from, `steps` batches to an epoch; the whole validation text in
    windows side by side.
    """
    train, val = data.vocabulary.encode(data.train), data.vocabulary.encode(data.val)
    return Parts(
        data.name,
        Blocks(train, length, steps),
        text_windows(val, length),
        {},
        {"target": data.vocabulary},
    )


def masked_parts(data: TextData, length: int, steps: int) -> Parts:
    """The same windows with characters hidden; the vocabulary has `<mask>` after its characters."""
    vocabulary = Vocabulary((*data.vocabulary.symbols, MASK))
    mask = vocabulary.index(MASK)
    train, val = vocabulary.encode(data.train), vocabulary.encode(data.val)
    shown = Masked(Blocks(train, length, steps), mask), Masked(text_windows(val, length), mask)
    return Parts(data.name, *shown, {}, {"source": vocabulary, "target": vocabulary})


def case_parts(data: TextData) -> Parts:
    """Lines in lower case, and which of their letters were capitals: the last eighth of the
    training text validates, the validation text is reported, both without the lines that were
    learnt from (names of speakers above all). Other characters than letters do not count.
    """
    lines = [line for line in data.train.split("\n") if line]
    cut = len(lines) * 7 // 8
    known = {"", *lines[:cut]}
    vocabulary = Vocabulary.of_characters([truecase(data.train).text], specials=(PAD, UNK))

    def part(texts: Iterable[str]) -> Labelled:
        tasks = [truecase(text) for text in texts]
        labels = [torch.where(task.letters, task.upper.long(), UNCOUNTED) for task in tasks]
        return Labelled([vocabulary.encode(task.text) for task in tasks], labels)

    val, test = (
        part(line for line in several if line not in known)
        for several in (lines[cut:], data.val.split("\n"))
    )
    return Parts(data.name, part(lines[:cut]), val, {"": test}, {"source": vocabulary})


def sentence_parts(data: SentenceData) -> Parts:
    """Sentences, character by character, and their classes."""
    vocabulary = Vocabulary.of_characters(data.train.texts, specials=(PAD, UNK))

    def part(several: Sentences) -> Labelled:
        return Labelled([vocabulary.encode(text) for text in several.texts], several.labels)

    return Parts(
        data.name, part(data.train), part(data.val), {"": part(data.test)}, {"source": vocabulary}
    )


def caption_parts(data: ImageData) -> Parts:
    """Images and the names of their classes, letter by letter."""
    cut = image_parts(data)

    def part(rows: Rows, split: Split) -> Rows:
        return Rows(rows.tensors[0], spelled(split.labels).ids)

    train, val, tests = cut.train, cut.val, cut.tests
    assert isinstance(train, Rows) and isinstance(val, Rows) and isinstance(tests[""], Rows)
    named = part(train, data.train), part(val, data.val), {"": part(tests[""], data.test)}
    return Parts(data.name, *named, {"target": spelled(data.test.labels[:0]).vocabulary})


def translation_parts(data: PairData) -> Parts:
    """Pairs of sentences, character by character, to learn from; to report on, each sentence once
    with all that is right.
    """
    source = Vocabulary.of_characters(data.train.references, specials=(PAD, UNK))
    target = Vocabulary.of_characters(
        [french for _, french in data.train.pairs], specials=(*FRAME, UNK)
    )

    def pairs(part: Translations) -> Pairs:
        english, french = zip(*part.pairs, strict=True)
        answers = [part.references[text] for text in english]
        return Pairs(
            [source.encode(text) for text in english],
            [target.framed(text) for text in french],
            answers,
        )

    def judged(part: Translations) -> Pairs:
        first = [target.framed(answers[0]) for answers in part.references.values()]
        return Pairs(
            [source.encode(text) for text in part.references], first, list(part.references.values())
        )

    vocabularies = {"source": source, "target": target}
    return Parts(
        data.name, pairs(data.train), pairs(data.val), {"": judged(data.test)}, vocabularies
    )


def rewriting_parts(
    name: str, make: Callable[..., Sequences], count: int, lengths: tuple[int, int]
) -> Parts:
    """Generated strings to be rewritten: mixed lengths to learn from, and 100 of each fifth length
    to report on.

    Args:
        name: printed as the data set.
        make: `reversal` or `sorting`.
        count: strings to learn from.
        lengths: the shortest and the longest.
    """
    tests = {
        f"-{length:02}": make(100, lengths=(length, length), part="test")
        for length in LENGTHS
        if length <= lengths[1]
    }
    train, val, mixed = (
        make(count, lengths=lengths),
        make(500, lengths=lengths, part="val"),
        make(500, lengths=lengths, part="test"),
    )
    vocabulary = train.vocabulary
    cut = {suffix: _rewritten(several) for suffix, several in {"": mixed, **tests}.items()}
    return Parts(
        name, _rewritten(train), _rewritten(val), cut, {"source": vocabulary, "target": vocabulary}
    )


def _rewritten(several: Sequences) -> Pairs:
    vocabulary = several.vocabulary
    begin, end = torch.tensor([vocabulary.index(BOS)]), torch.tensor([vocabulary.index(EOS)])

    def framed(ids: Tensor) -> Tensor:
        return torch.cat([begin, ids, end])

    return Pairs(
        several.sources,
        [framed(ids) for ids in several.targets],
        [(vocabulary.decode(ids),) for ids in several.targets],
    )

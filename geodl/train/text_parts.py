"""What one run sees of a text, of sentences, of translations and of generated sequences."""

from collections.abc import Callable, Iterable

import torch

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
from geodl.train.parts import Parts, normalizer

FRAME = (PAD, BOS, EOS)
LENGTHS = range(5, 61, 5)


def text_parts(data: TextData, length: int, steps: int) -> Parts:
    """Random windows to learn from, `steps` batches to an epoch; the whole validation text in
    windows side by side.
    """
    train = data.vocabulary.encode(data.train)
    val = data.vocabulary.encode(data.val)
    return Parts(
        data.name,
        train=Blocks(train, length, steps),
        val=text_windows(val, length),
        tests={},
        vocabularies={"target": data.vocabulary},
    )


def masked_parts(data: TextData, length: int, steps: int) -> Parts:
    """The same windows with characters hidden; the vocabulary has `<mask>` after its characters."""
    vocabulary = Vocabulary((*data.vocabulary.symbols, MASK))
    mask = vocabulary.index(MASK)
    train = vocabulary.encode(data.train)
    val = vocabulary.encode(data.val)
    return Parts(
        data.name,
        train=Masked(Blocks(train, length, steps), mask),
        val=Masked(text_windows(val, length), mask),
        tests={},
        vocabularies={"source": vocabulary, "target": vocabulary},
    )


def case_parts(data: TextData) -> Parts:
    """Lines in lower case, and which of their letters were capitals: the last eighth of the
    training text validates, the validation text is reported, both without the lines that were
    learnt from (names of speakers above all). Other characters than letters do not count.
    """
    lines = [line for line in data.train.split("\n") if line]
    cut = len(lines) * 7 // 8
    learnt = lines[:cut]
    known = {"", *learnt}
    vocabulary = Vocabulary.of_characters([truecase(data.train).text], specials=(PAD, UNK))

    def part(texts: Iterable[str]) -> Labelled:
        tasks = [truecase(text) for text in texts]
        labels = [torch.where(task.letters, task.upper.long(), UNCOUNTED) for task in tasks]
        return Labelled([vocabulary.encode(task.text) for task in tasks], labels)

    return Parts(
        data.name,
        train=part(learnt),
        val=part(line for line in lines[cut:] if line not in known),
        tests={"": part(line for line in data.val.split("\n") if line not in known)},
        vocabularies={"source": vocabulary},
    )


def sentence_parts(data: SentenceData) -> Parts:
    """Sentences, character by character, and their classes."""
    vocabulary = Vocabulary.of_characters(data.train.texts, specials=(PAD, UNK))

    def part(several: Sentences) -> Labelled:
        return Labelled([vocabulary.encode(text) for text in several.texts], several.labels)

    return Parts(
        data.name,
        train=part(data.train),
        val=part(data.val),
        tests={"": part(data.test)},
        vocabularies={"source": vocabulary},
    )


def caption_parts(data: ImageData, *, count: int | None = None) -> Parts:
    """Images, normalised as by `image_parts`, and the names of their classes, letter by letter.

    Args:
        data: the images.
        count: learn from so many images, evenly spread; None learns from all.
    """
    train = data.train
    if count is not None:
        train = Split(*Rows(*train).some(count).tensors)
    normal = normalizer(train.images)

    def part(split: Split) -> Rows:
        return Rows(normal(split.images), spelled(split.labels).ids)

    letters = spelled(torch.arange(10)).vocabulary
    return Parts(
        data.name,
        train=part(train),
        val=part(data.val),
        tests={"": part(data.test)},
        vocabularies={"target": letters},
        fewer=lambda count: caption_parts(data, count=count),
    )


def translation_parts(data: PairData) -> Parts:
    """Pairs of sentences, character by character, to learn from; to report on, each sentence once
    with all that is right.
    """
    learnt = [french for _, french in data.train.pairs]
    source = Vocabulary.of_characters(data.train.references, specials=(PAD, UNK))
    target = Vocabulary.of_characters(learnt, specials=(*FRAME, UNK))

    def pairs(part: Translations) -> Pairs:
        """Every translation once."""
        english, french, answers = [], [], []
        for text, translation in part.pairs:
            english.append(source.encode(text))
            french.append(target.framed(translation))
            answers.append(part.references[text])
        return Pairs(english, french, answers)

    def judged(part: Translations) -> Pairs:
        """Every sentence once, with its first translation to compute a loss on."""
        english, french, answers = [], [], []
        for text, translations in part.references.items():
            english.append(source.encode(text))
            french.append(target.framed(translations[0]))
            answers.append(translations)
        return Pairs(english, french, answers)

    return Parts(
        data.name,
        train=pairs(data.train),
        val=pairs(data.val),
        tests={"": judged(data.test)},
        vocabularies={"source": source, "target": target},
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
    tests = {"": make(500, lengths=lengths, part="test")}
    for length in LENGTHS:
        if length <= lengths[1]:
            tests[f"-{length:02}"] = make(100, lengths=(length, length), part="test")
    train = make(count, lengths=lengths)
    val = make(500, lengths=lengths, part="val")
    return Parts(
        name,
        train=_pairs(train),
        val=_pairs(val),
        tests={suffix: _pairs(several) for suffix, several in tests.items()},
        vocabularies={"source": train.vocabulary, "target": train.vocabulary},
    )


def _pairs(several: Sequences) -> Pairs:
    """Sources, targets from `<bos>` to `<eos>`, and the one right answer to each."""
    vocabulary = several.vocabulary
    begin = torch.tensor([vocabulary.index(BOS)])
    end = torch.tensor([vocabulary.index(EOS)])
    targets = [torch.cat([begin, ids, end]) for ids in several.targets]
    answers = [(vocabulary.decode(ids),) for ids in several.targets]
    return Pairs(several.sources, targets, answers)

"""Tasks made of texts, digits and chance: one sequence to many, many to one, as many, or others."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from geodl.data.arguments import check_count, check_seed, check_text, check_vector, describe
from geodl.data.text import SPLITS, SplitName, part
from geodl.data.text_batches import padded
from geodl.data.text_vocabulary import BOS, EOS, PAD, Vocabulary
from geodl.errors import GeodlError, nearest

DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LETTERS = "abcdefghij"


class Truecase(NamedTuple):
    """A lower-cased text of T characters, which of them were capitals `[T]`, and which are letters
    `[T]`, both bool.
    """

    text: str
    upper: Tensor
    letters: Tensor


class Spelled(NamedTuple):
    """Numbers `[M, T]`, a mask `[M, T]` that is True where one stands, and the vocabulary that
    reads them.
    """

    ids: Tensor
    mask: Tensor
    vocabulary: Vocabulary


class Sequences(NamedTuple):
    """Pairs of sequences, int64 `[T_m]` each, without beginning or end, and the vocabulary that
    reads them.
    """

    sources: list[Tensor]
    targets: list[Tensor]
    vocabulary: Vocabulary


def truecase(text: str) -> Truecase:
    """Which letters are capitals? The text in lower case, and the answer for each of its letters (n
    to n).

    A letter is a character with two cases, one character each, that turn into one another; all
    others stay as they are, and `recase(text, upper)` restores the text exactly.

    >>> import geodl as g
    >>> task = g.data.truecase("Ça va, Tom ?")
    >>> task.text, task.upper.int().tolist(), int(task.letters.sum())
    ('ça va, tom ?', [1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], 7)
    """
    check_text("a text in lower case", text)
    lower: dict[str, str] = {}  # of each letter, small or capital
    for character in set(text):
        small = character.lower()
        capital = small.upper()
        is_letter = character in (small, capital) and small != capital
        if is_letter and len(small) == len(capital) == 1:
            lower[character] = small
    lowered = "".join(lower.get(character, character) for character in text)
    upper = [character != small for character, small in zip(text, lowered, strict=True)]
    letters = [character in lower for character in text]
    return Truecase(
        lowered, torch.tensor(upper, dtype=torch.bool), torch.tensor(letters, dtype=torch.bool)
    )


def recase(text: str, upper: Tensor) -> str:
    """The text with capitals where `upper` `[T]`, bool, says so.

    Raises:
        GeodlError: if `upper` is not bool or not of the text's length.

    >>> import geodl as g, torch
    >>> g.data.recase("tom", torch.tensor([True, False, False]))
    'Tom'
    """
    check_text("capitals in a text", text)
    is_bool = isinstance(upper, Tensor) and upper.dtype == torch.bool
    if not is_bool or list(upper.shape) != [len(text)]:
        asked = f"capitals in a text of {len(text)} characters"
        raise GeodlError(asked, describe(upper), f"give a tensor of bool [{len(text)}]")
    characters = list(text)
    for place in upper.nonzero().flatten().tolist():
        characters[place] = characters[place].upper()
    return "".join(characters)


def spelled(labels: Tensor) -> Spelled:
    """The English names of digits, letter by letter: what is to be written of an image of the digit
    (1 to n).

    Args:
        labels: `[M]` integers from 0 to 9, as those of `mnist`.

    Returns:
        `<bos>`, the letters, `<eos>` and `<pad>` as far as the longest name needs: `[M, 7]`; the
        vocabulary has 18 symbols.

    Raises:
        GeodlError: if the labels are not a vector of digits.

    >>> import geodl as g, torch
    >>> names = g.data.spelled(torch.tensor([3, 1]))
    >>> [names.vocabulary.decode(row) for row in names.ids], names.mask.sum(1)
    (['three', 'one'], tensor([7, 5]))
    """
    asked, do = "the names of digits", "give integers [M] from 0 to 9, as torch.tensor([3, 1])"
    check_vector(asked, labels, do)
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) <= 9:
        found = f"labels from {int(labels.min())} to {int(labels.max())}"
        raise GeodlError(asked, found, do)
    vocabulary = Vocabulary.of_characters(DIGIT_NAMES, specials=(PAD, BOS, EOS))
    ids, mask = padded([vocabulary.framed(name) for name in DIGIT_NAMES], vocabulary.index(PAD))
    chosen = labels.long()
    return Spelled(ids.to(labels.device)[chosen], mask.to(labels.device)[chosen], vocabulary)


def reversal(
    count: int,
    *,
    lengths: tuple[int, int] = (5, 20),
    symbols: str = LETTERS,
    part: SplitName = "train",
    seed: int = 0,
) -> Sequences:
    """Random strings and the same strings backwards: what comes first is needed last.

    Lengths are uniform from the first to the second of `lengths`, letters are uniform. A string
    belongs to the part that `geodl.data.part` says, whatever the seed: no two parts share one, and
    none comes twice in a part.

    Args:
        count: how many pairs.
        lengths: the shortest and the longest.
        symbols: the letters, each once; the vocabulary has `<pad>`, `<bos>`, `<eos>` and these.
        part: "train", "val" or "test".
        seed: the same gives the same pairs.

    Raises:
        GeodlError: if the part does not exist; if a letter stands twice; if lengths are below 1 or
            in the wrong order; if the part has fewer different strings than asked for.

    >>> import geodl as g
    >>> task = g.data.reversal(2, lengths=(3, 4), part="test")
    >>> read = task.vocabulary.decode
    >>> [(read(a), read(b)) for a, b in zip(task.sources, task.targets)]
    [('ghea', 'aehg'), ('ahd', 'dha')]
    """
    return _generated(lambda text: text[::-1], count, lengths, symbols, part, seed)


def sorting(
    count: int,
    *,
    lengths: tuple[int, int] = (5, 20),
    symbols: str = LETTERS,
    part: SplitName = "train",
    seed: int = 0,
) -> Sequences:
    """Random strings and the same letters in the order of `symbols`. Arguments and errors as for
    `reversal`.

    >>> import geodl as g
    >>> task = g.data.sorting(1, lengths=(8, 8))
    >>> task.vocabulary.decode(task.sources[0]), task.vocabulary.decode(task.targets[0])
    ('cehgiibg', 'bcegghii')
    """

    def in_order(text: str) -> str:
        return "".join(sorted(text, key=symbols.index))

    return _generated(in_order, count, lengths, symbols, part, seed)


def _generated(
    answer: Callable[[str], str],
    count: int,
    lengths: tuple[int, int],
    symbols: str,
    split: SplitName,
    seed: int,
) -> Sequences:
    """Pairs of strings of a split and what `answer` makes of them."""
    seed = check_seed(seed)
    count = check_count(f"{count} strings", count, least=0)
    shortest, longest = _check_lengths(lengths)
    if split not in SPLITS:
        raise GeodlError(f"part={split!r}", "no part of that name", nearest(split, SPLITS))
    check_text("strings of symbols", symbols)
    if not symbols or len(set(symbols)) < len(symbols):
        asked = f"strings of symbols={symbols!r}"
        raise GeodlError(asked, "no letter, or one twice", "give each letter once")
    random = np.random.RandomState(seed)  # the one generator whose stream numpy never changes
    letters = np.array(list(symbols))
    drawn = 0
    found: dict[str, None] = {}  # an ordered set
    while len(found) < count:
        if drawn > 50 * count + 20_000:
            asked = f"{count} strings of lengths={lengths} in {split}"
            few = f"{len(found)} different ones among {drawn} drawn"
            raise GeodlError(asked, few, "ask for fewer or for longer ones")
        sizes = random.randint(shortest, longest + 1, 1000)
        choices = random.randint(len(symbols), size=(1000, longest))
        for size, places in zip(sizes, choices, strict=True):
            text = "".join(letters[places[:size]])
            if part(text) == split:
                found[text] = None
        drawn += 1000
    vocabulary = Vocabulary.of_characters([symbols], specials=(PAD, BOS, EOS))
    chosen = list(found)[:count]
    sources = [vocabulary.encode(text) for text in chosen]
    targets = [vocabulary.encode(answer(text)) for text in chosen]
    return Sequences(sources, targets, vocabulary)


def _check_lengths(lengths: tuple[int, int]) -> tuple[int, int]:
    asked, do = f"strings of lengths={lengths!r}", "give (shortest, longest), from 1 on"
    if not isinstance(lengths, tuple | list) or len(lengths) != 2:
        raise GeodlError(asked, do=do)
    shortest, longest = (check_count(asked, length, do=do) for length in lengths)
    if shortest > longest:
        raise GeodlError(asked, do=do)
    return shortest, longest

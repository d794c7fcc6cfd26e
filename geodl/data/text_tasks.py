"""Tasks made of texts, digits and chance: one sequence to many, many to one, as many, or others."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from geodl.data.images import check_seed
from geodl.data.text import PARTS, Part, part
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
    cases = {character: (character.lower(), character.lower().upper()) for character in set(text)}
    letters = {
        c: pair
        for c, pair in cases.items()
        if c in pair and pair[0] != pair[1] and len(pair[0]) == len(pair[1]) == 1
    }
    upper = [c in letters and c != letters[c][0] for c in text]
    lowered = "".join(letters[c][0] if c in letters else c for c in text)
    mask = [c in letters for c in text]
    return Truecase(
        lowered, torch.tensor(upper, dtype=torch.bool), torch.tensor(mask, dtype=torch.bool)
    )


def recase(text: str, upper: Tensor) -> str:
    """The text with capitals where `upper` `[T]`, bool, says so.

    Raises:
        GeodlError: `upper` is not bool or not of the text's length.

    >>> import geodl as g, torch
    >>> g.data.recase("tom", torch.tensor([True, False, False]))
    'Tom'
    """
    if upper.dtype != torch.bool or list(upper.shape) != [len(text)]:
        found = f"shape {list(upper.shape)} of {upper.dtype}"
        raise GeodlError(
            f"capitals in a text of {len(text)} characters", found, f"give bool [{len(text)}]"
        )
    return "".join(c.upper() if up else c for c, up in zip(text, upper.tolist(), strict=True))


def spelled(labels: Tensor) -> Spelled:
    """The English names of digits, letter by letter: what an image of the digit is to be told in (1
    to n).

    Args:
        labels: `[M]` integers from 0 to 9, as those of `mnist`.

    Returns:
        `<bos>`, the letters, `<eos>` and `<pad>` as far as the longest name needs: `[M, 7]`; the
        vocabulary has 18 symbols.

    Raises:
        GeodlError: labels that are no vector of digits.

    >>> import geodl as g, torch
    >>> names = g.data.spelled(torch.tensor([3, 1]))
    >>> [names.vocabulary.decode(row) for row in names.ids], names.mask.sum(1)
    (['three', 'one'], tensor([7, 5]))
    """
    if (
        labels.ndim != 1
        or labels.is_floating_point()
        or (len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) <= 9)
    ):
        raise GeodlError(
            "the names of digits",
            f"shape {list(labels.shape)} of {labels.dtype}",
            "give integers [M] from 0 to 9",
        )
    vocabulary = Vocabulary.of_characters(DIGIT_NAMES, specials=(PAD, BOS, EOS))
    ids, mask = padded([vocabulary.framed(name) for name in DIGIT_NAMES], vocabulary.index(PAD))
    chosen = labels.long()
    return Spelled(ids.to(labels.device)[chosen], mask.to(labels.device)[chosen], vocabulary)


def reversal(
    count: int,
    *,
    lengths: tuple[int, int] = (5, 20),
    symbols: str = LETTERS,
    part: Part = "train",
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
        GeodlError: a part that there is not; a letter twice; lengths below 1 or in the wrong order;
            fewer different strings in the part than asked for.

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
    part: Part = "train",
    seed: int = 0,
) -> Sequences:
    """Random strings and the same letters in the order of `symbols`. Arguments and errors as for
    `reversal`.

    >>> import geodl as g
    >>> task = g.data.sorting(1, lengths=(8, 8))
    >>> task.vocabulary.decode(task.sources[0]), task.vocabulary.decode(task.targets[0])
    ('cehgiibg', 'bcegghii')
    """
    return _generated(
        lambda text: "".join(sorted(text, key=symbols.index)), count, lengths, symbols, part, seed
    )


def _generated(
    answer: Callable[[str], str],
    count: int,
    lengths: tuple[int, int],
    symbols: str,
    wanted: Part,
    seed: int,
) -> Sequences:
    check_seed(seed)
    if wanted not in PARTS:
        raise GeodlError(f"part={wanted!r}", "no part of that name", nearest(wanted, PARTS))
    if not symbols or len(set(symbols)) < len(symbols):
        raise GeodlError(
            f"strings of symbols={symbols!r}", "no letter, or one twice", "give each letter once"
        )
    shortest, longest = lengths
    if not 1 <= shortest <= longest or count < 0:
        raise GeodlError(
            f"{count} strings of lengths={lengths}",
            do="give (shortest, longest), from 1 on, and a count from 0 on",
        )
    random = np.random.RandomState(seed)  # the one generator whose stream numpy never changes
    letters, drawn = np.array(list(symbols)), 0
    found: dict[str, None] = {}
    while len(found) < count:
        if drawn > 50 * count + 20_000:
            few = f"{len(found)} different ones among {drawn} drawn"
            raise GeodlError(
                f"{count} strings of lengths={lengths} in {wanted}",
                few,
                "ask for fewer or for longer ones",
            )
        sizes, choices = (
            random.randint(shortest, longest + 1, 1000),
            random.randint(len(symbols), size=(1000, longest)),
        )
        for size, places in zip(sizes, choices, strict=True):
            text = "".join(letters[places[:size]])
            if part(text) == wanted:
                found[text] = None
        drawn += 1000
    vocabulary = Vocabulary.of_characters([symbols], specials=(PAD, BOS, EOS))
    chosen = list(found)[:count]
    return Sequences(
        [*map(vocabulary.encode, chosen)],
        [vocabulary.encode(answer(text)) for text in chosen],
        vocabulary,
    )

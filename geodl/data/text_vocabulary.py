"""Symbols and their numbers: characters or words."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, final, get_args

import torch
from torch import Tensor

from geodl.data.arguments import check_count, check_texts, describe, is_vector
from geodl.data.text_words import join, words
from geodl.errors import GeodlError, nearest

SPECIALS = PAD, BOS, EOS, UNK, MASK = "<pad>", "<bos>", "<eos>", "<unk>", "<mask>"
Unit = Literal["character", "word"]
TEXTS = "a vocabulary of texts"


@final
@dataclass(frozen=True)
class Vocabulary:
    """Numbers 0 to V - 1 for V symbols: characters, or words and marks as `words` finds them.

    Two vocabularies are equal if they have the same symbols in the same order; `fingerprint` says
    so across machines.

    Args:
        symbols: each once; the number of a symbol is its place.
        unit: "character" or "word": what `encode` cuts a text into and `decode` puts together.

    Special symbols, only where they are asked for: `<pad>` fills, `<bos>` begins, `<eos>` ends,
    `<unk>` stands for what is unknown, `<mask>` for what is hidden. No text contains them; a list
    of symbols given to `encode` may.

    Raises:
        GeodlError: if there is no symbol, a symbol stands twice, is empty, or has several
            characters where the unit is a character; if the unit is unknown.

    >>> import geodl as g
    >>> v = g.data.Vocabulary.of_characters(["hello"], specials=["<bos>", "<eos>"])
    >>> v.symbols, v.encode("hole").tolist(), v.decode([0, 3, 2, 4, 4, 5, 1, 2])
    (('<bos>', '<eos>', 'e', 'h', 'l', 'o'), [3, 5, 4, 2], 'hello')
    """

    symbols: tuple[str, ...]
    unit: Unit = "character"

    def __post_init__(self) -> None:
        asked = "a vocabulary"
        if self.unit not in get_args(Unit):
            raise GeodlError(
                f"{asked} of unit={self.unit!r}", do=nearest(self.unit, get_args(Unit))
            )
        strings = isinstance(self.symbols, tuple)
        strings = strings and all(isinstance(s, str) and s for s in self.symbols)
        if not strings:
            found = f"symbols={_short(self.symbols)}"
            raise GeodlError(asked, found, "give a tuple of strings, none of them empty")
        if not self.symbols:
            raise GeodlError(asked, "no symbol", "give at least one")
        if len(self._numbers) < len(self.symbols):
            ((twice, _),) = Counter(self.symbols).most_common(1)
            raise GeodlError(asked, f"{twice!r} twice among its symbols", "give each symbol once")
        long = [s for s in self.symbols if len(s) > 1 and s not in SPECIALS]
        if self.unit == "character" and long:
            do = 'give single characters, or unit="word"'
            raise GeodlError(f"{asked} of characters", f"the symbol {long[0]!r}", do)

    @classmethod
    def of_characters(cls, texts: Iterable[str], *, specials: Sequence[str] = ()) -> "Vocabulary":
        """The special symbols in the order given, then every character of the texts in the order of
        Unicode.

        Raises:
            GeodlError: if a string is given in place of a list; if a special symbol does not exist;
                if there is nothing to number.
        """
        characters = set().union(*check_texts(TEXTS, texts))
        return cls((*_specials(specials), *sorted(characters)))

    @classmethod
    def of_words(
        cls,
        texts: Iterable[str],
        *,
        at_least: int = 1,
        at_most: int | None = None,
        specials: Sequence[str] = (),
    ) -> "Vocabulary":
        """The special symbols in the order given, then the words of the texts, the commonest first,
        ties by alphabet.

        Args:
            at_least: how often a word must occur.
            at_most: how many words to keep, special symbols not counted; None keeps all.

        Raises:
            GeodlError: as `of_characters`; if a bound is below 1.

        >>> import geodl as g
        >>> g.data.Vocabulary.of_words(["I see.", "I saw."], at_most=3, specials=["<unk>"]).symbols
        ('<unk>', '.', 'I', 'saw')
        """
        asked = f"words at_least={at_least} times, at_most={at_most} of them"
        least = check_count(asked, at_least)
        most = None if at_most is None else check_count(asked, at_most)
        counts = Counter(word for text in check_texts(TEXTS, texts) for word in words(text))
        common = [word for word in counts if counts[word] >= least]
        common.sort(key=lambda word: (-counts[word], word))
        return cls((*_specials(specials), *common[:most]), "word")

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Vocabulary":
        """The vocabulary that `to_dict` was called on.

        Raises:
            GeodlError: if there are other fields than `unit` and `symbols`; if the symbols are not
                a list; as the class.
        """
        known = isinstance(fields, Mapping) and set(fields) == {"unit", "symbols"}
        if not known or not isinstance(fields["symbols"], list | tuple):
            do = 'give {"unit": "character", "symbols": [...]}'
            raise GeodlError("a vocabulary from its fields", _short(fields), do)
        return cls(tuple(fields["symbols"]), fields["unit"])

    def to_dict(self) -> dict[str, Any]:
        """Plain `{"unit": ..., "symbols": [...]}`, fit for JSON; `from_dict` reads it back."""
        return {"unit": self.unit, "symbols": list(self.symbols)}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of unit and symbols as JSON: the same on every machine, another one for another
        vocabulary.
        """
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.symbols)}

    def to(self, device: torch.device | str) -> "Vocabulary":
        """Itself: it holds no tensor. Lightning moves a batch by this method."""
        return self

    def __len__(self) -> int:
        return len(self.symbols)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._numbers

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} {self.unit}s, {self.fingerprint[:8]})"

    def index(self, symbol: str) -> int:
        """The number of a symbol; `GeodlError` if there is none."""
        if symbol not in self._numbers:
            do = "make it of texts that have it"
            if symbol in SPECIALS:
                do = f"make it with specials=[{symbol!r}]"
            raise GeodlError(f"the number of {symbol!r}", f"no such symbol in {self}", do)
        return self._numbers[symbol]

    def encode(self, text: str | Sequence[str]) -> Tensor:
        """The numbers of a text, or of a list of symbols: int64 `[T]`.

        What is unknown becomes `<unk>` where the vocabulary has it. Special symbols may stand in a
        list, never in a text.

        Raises:
            GeodlError: if a symbol is unknown and there is no `<unk>`; the symbol and its position
                are named.
        """
        asked = "the numbers of a text"
        do = f"give a text, or a list of {self.unit}s"
        if not isinstance(text, str | list | tuple):
            raise GeodlError(asked, describe(text), do)
        symbols = text
        if isinstance(text, str) and self.unit == "word":
            symbols = words(text)
        unknown = self._numbers.get(UNK)
        found = []
        for position, symbol in enumerate(symbols):
            if not isinstance(symbol, str):
                raise GeodlError(asked, f"{describe(symbol)} at position {position}", do)
            number = self._numbers.get(symbol, unknown)
            if number is None:
                asked = f"the numbers of {len(symbols)} {self.unit}s under {self}"
                where = f"the unknown {self.unit} {symbol!r} at position {position}"
                do = "make the vocabulary of texts that have it or "
                do += f"with specials=[{UNK!r}], or leave it out"
                raise GeodlError(asked, where, do)
            found.append(number)
        return torch.tensor(found, dtype=torch.int64)

    def framed(self, text: str | Sequence[str]) -> Tensor:
        """`<bos>`, the numbers of the text, `<eos>`: int64 `[T + 2]`; all but the last go in, all
        but the first come out.

        Raises:
            GeodlError: as `encode`; if the vocabulary lacks `<bos>` or `<eos>`.
        """
        begin, end = self.index(BOS), self.index(EOS)
        return torch.cat([torch.tensor([begin]), self.encode(text), torch.tensor([end])])

    def decode(self, ids: Tensor | Sequence[int]) -> str:
        """The text of numbers `[T]`, up to the first `<eos>`, without `<pad>` and `<bos>`.

        Raises:
            GeodlError: if `ids` is not a vector of integers; if no symbol has a number, which is
                named with its position.
        """
        asked, do = "the text of numbers", "give integers [T]"
        try:
            numbers = torch.as_tensor(ids)
        except (TypeError, ValueError, RuntimeError) as error:
            raise GeodlError(asked, f"{describe(ids)} of other things", do) from error
        if numbers.shape != (0,) and not is_vector(numbers):
            raise GeodlError(asked, describe(numbers), do)
        symbols = []
        for position, number in enumerate(numbers.tolist()):
            if not 0 <= number < len(self):
                do = f"give numbers from 0 to {len(self) - 1}"
                raise GeodlError(asked, f"{number} at position {position}", do)
            symbols.append(self.symbols[number])
        if EOS in symbols:
            symbols = symbols[: symbols.index(EOS)]
        symbols = [symbol for symbol in symbols if symbol not in (PAD, BOS)]
        if self.unit == "character":
            return "".join(symbols)
        return join(symbols)


def _specials(asked: Sequence[str]) -> tuple[str, ...]:
    if isinstance(asked, str) or not set(asked) <= set(SPECIALS):
        do = f"give a list out of {', '.join(SPECIALS)}"
        raise GeodlError("a vocabulary", f"specials={asked!r}", do)
    return tuple(asked)


def _short(value: object) -> str:
    text = repr(value)
    if len(text) <= 60:
        return text
    return f"{text[:57]}..."

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

from geodl.data.text_words import join, words
from geodl.errors import GeodlError, nearest

SPECIALS = PAD, BOS, EOS, UNK, MASK = "<pad>", "<bos>", "<eos>", "<unk>", "<mask>"
Unit = Literal["character", "word"]


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
        GeodlError: no symbol, a symbol twice, an empty one, one of several characters among
            characters; another unit.

    >>> import geodl as g
    >>> v = g.data.Vocabulary.of_characters(["hello"], specials=["<bos>", "<eos>"])
    >>> v.symbols, v.encode("hole").tolist(), v.decode([0, 3, 2, 4, 4, 5, 1, 2])
    (('<bos>', '<eos>', 'e', 'h', 'l', 'o'), [3, 5, 4, 2], 'hello')
    """

    symbols: tuple[str, ...]
    unit: Unit = "character"

    def __post_init__(self) -> None:
        if self.unit not in get_args(Unit):
            raise GeodlError(
                f"a vocabulary of unit={self.unit!r}", do=nearest(self.unit, get_args(Unit))
            )
        if not isinstance(self.symbols, tuple) or not all(
            isinstance(symbol, str) and symbol for symbol in self.symbols
        ):
            raise GeodlError(
                "a vocabulary",
                f"symbols={_short(self.symbols)}",
                "give a tuple of strings, none of them empty",
            )
        if not self.symbols:
            raise GeodlError("a vocabulary", "no symbol", "give at least one")
        if len(self._numbers) < len(self.symbols):
            twice = Counter(self.symbols).most_common(1)[0][0]
            raise GeodlError(
                "a vocabulary", f"{twice!r} twice among its symbols", "give each symbol once"
            )
        long = [s for s in self.symbols if len(s) > 1 and s not in SPECIALS]
        if self.unit == "character" and long:
            raise GeodlError(
                "a vocabulary of characters",
                f"the symbol {long[0]!r}",
                'give single characters, or unit="word"',
            )

    @classmethod
    def of_characters(cls, texts: Iterable[str], *, specials: Sequence[str] = ()) -> "Vocabulary":
        """The special symbols in the order given, then every character of the texts in the order of
        Unicode.

        Raises:
            GeodlError: one string in place of a list; a special symbol that does not exist; nothing
                to number.
        """
        return cls((*_specials(specials), *sorted(set().union(*_several(texts)))))

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
            GeodlError: as for `of_characters`; a bound below 1.

        >>> import geodl as g
        >>> g.data.Vocabulary.of_words(["I see.", "I saw."], at_most=3, specials=["<unk>"]).symbols
        ('<unk>', '.', 'I', 'saw')
        """
        if at_least < 1 or (at_most is not None and at_most < 1):
            raise GeodlError(
                f"words at_least={at_least} times, at_most={at_most} of them",
                do="give bounds of at least 1",
            )
        counts = Counter(word for text in _several(texts) for word in words(text))
        kept = sorted(
            (word for word in counts if counts[word] >= at_least),
            key=lambda word: (-counts[word], word),
        )
        return cls((*_specials(specials), *kept[:at_most]), "word")

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Vocabulary":
        """The vocabulary that `to_dict` was called on.

        Raises:
            GeodlError: other fields than `unit` and `symbols`; symbols that are no list; what the
                class refuses.
        """
        known = isinstance(fields, Mapping) and set(fields) == {"unit", "symbols"}
        if not known or not isinstance(fields["symbols"], list | tuple):
            raise GeodlError(
                "a vocabulary from its fields",
                _short(fields),
                'give {"unit": "character", "symbols": [...]}',
            )
        return cls(tuple(fields["symbols"]), fields["unit"])

    def to_dict(self) -> dict[str, Any]:
        """Plain `{"unit": ..., "symbols": [...]}`, fit for JSON; `from_dict` reads it back."""
        return {"unit": self.unit, "symbols": list(self.symbols)}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of unit and symbols as JSON: the same on every machine, another one for another
        vocabulary.
        """
        return hashlib.sha256(
            json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":")).encode()
        ).hexdigest()

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.symbols)}

    def __len__(self) -> int:
        return len(self.symbols)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._numbers

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} {self.unit}s, {self.fingerprint[:8]})"

    def index(self, symbol: str) -> int:
        """The number of a symbol; `GeodlError` if there is none."""
        if symbol not in self._numbers:
            do = (
                f"make it with specials=[{symbol!r}]"
                if symbol in SPECIALS
                else "make it of texts that have it"
            )
            raise GeodlError(f"the number of {symbol!r}", f"no such symbol in {self}", do)
        return self._numbers[symbol]

    def encode(self, text: str | Sequence[str]) -> Tensor:
        """The numbers of a text, or of a list of symbols: int64 `[T]`.

        What is unknown becomes `<unk>` where the vocabulary has it. Special symbols may stand in a
        list, never in a text.

        Raises:
            GeodlError: an unknown symbol and no `<unk>`: the symbol and its position are named.
        """
        if not isinstance(text, str | list | tuple):
            raise GeodlError(
                "the numbers of a text",
                f"a {type(text).__name__}",
                f"give a text, or a list of {self.unit}s",
            )
        symbols = words(text) if isinstance(text, str) and self.unit == "word" else text
        numbers, unknown = self._numbers, self._numbers.get(UNK)
        try:
            found = (
                [numbers[s] for s in symbols]
                if unknown is None
                else [numbers.get(s, unknown) for s in symbols]
            )
        except KeyError as error:
            symbol = error.args[0]
            where = f"the unknown {self.unit} {symbol!r} at position {list(symbols).index(symbol)}"
            do = (
                "make the vocabulary of texts that have it or "
                f"with specials=[{UNK!r}], or leave it out"
            )
            raise GeodlError(
                f"the numbers of {len(symbols)} {self.unit}s under {self}", where, do
            ) from error
        return torch.tensor(found, dtype=torch.int64)

    def framed(self, text: str | Sequence[str]) -> Tensor:
        """`<bos>`, the numbers of the text, `<eos>`: int64 `[T + 2]`; all but the last go in, all
        but the first come out.

        Raises:
            GeodlError: as for `encode`; no `<bos>` or no `<eos>` in the vocabulary.
        """
        begin, end = self.index(BOS), self.index(EOS)
        return torch.cat([torch.tensor([begin]), self.encode(text), torch.tensor([end])])

    def decode(self, ids: Tensor | Sequence[int]) -> str:
        """The text of numbers `[T]`, up to the first `<eos>`, without `<pad>` and `<bos>`.

        Raises:
            GeodlError: no vector of integers; a number that no symbol has, named with its position.
        """
        try:
            numbers = torch.as_tensor(ids)
        except (TypeError, ValueError) as error:
            raise GeodlError(
                "the text of numbers",
                f"a {type(ids).__name__} of other things",
                "give integers [T]",
            ) from error
        if numbers.ndim != 1 or (
            len(numbers) and (numbers.is_floating_point() or numbers.dtype == torch.bool)
        ):
            raise GeodlError(
                "the text of numbers",
                f"shape {list(numbers.shape)} of {numbers.dtype}",
                "give integers [T]",
            )
        chosen = numbers.tolist()
        for position, number in enumerate(chosen):
            if not 0 <= number < len(self):
                do = f"give numbers from 0 to {len(self) - 1}"
                raise GeodlError("the text of numbers", f"{number} at position {position}", do)
        symbols = [self.symbols[number] for number in chosen]
        if EOS in symbols:
            symbols = symbols[: symbols.index(EOS)]
        symbols = [symbol for symbol in symbols if symbol not in (PAD, BOS)]
        return "".join(symbols) if self.unit == "character" else join(symbols)


def _specials(asked: Sequence[str]) -> tuple[str, ...]:
    if isinstance(asked, str) or not set(asked) <= set(SPECIALS):
        raise GeodlError(
            "a vocabulary", f"specials={asked!r}", f"give a list out of {', '.join(SPECIALS)}"
        )
    return tuple(asked)


def _several(texts: Iterable[str]) -> list[str]:
    several = [texts] if isinstance(texts, str) else list(texts)
    if isinstance(texts, str) or not all(isinstance(text, str) for text in several):
        raise GeodlError("a vocabulary of texts", f"{_short(texts)}", "give a list of strings")
    return several


def _short(value: object) -> str:
    said = repr(value)
    return said if len(said) <= 60 else f"{said[:57]}..."

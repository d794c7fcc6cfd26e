"""Pre-trained vectors of words from a text file."""

from codecs import BOM_UTF8
from os import PathLike
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from geodl.data.arguments import describe
from geodl.data.text_vocabulary import Vocabulary
from geodl.errors import GeodlError
from geodl.files import in_words

FORM = "write in each line a word and its numbers, between single spaces"


def load_vectors(path: str | PathLike[str]) -> tuple[Vocabulary, Tensor]:
    """Words and their vectors from a text file in the format of word2vec or GloVe.

    A line holds a word and its D numbers, between single spaces; word2vec puts a line `V D` first.
    UTF-8.

    Args:
        path: the file.

    Returns:
        The vocabulary of V words in the order of the file, and their vectors, float32 `[V, D]`: the
        weight of an embedding.

    Raises:
        GeodlError: if the file does not exist or has no words; if a line has another width than the
            first, a value that is not a finite number, the word of an earlier line, or is not UTF-8
            (the line is named); if the header's count is another one.

    Source: Mikolov, Chen, Corrado, Dean, "Efficient Estimation of Word Representations in Vector
    Space", 2013; Pennington, Socher, Manning, "GloVe: Global Vectors for Word Representation",
    2014.

    >>> import geodl as g, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "vectors.txt")
    ...     _ = path.write_text("2 3\\nking 1 2 3\\nqueen 1.5 2 -3e-1\\n")
    ...     vocabulary, vectors = g.data.load_vectors(path)
    >>> vocabulary.symbols, vectors[vocabulary.index("queen")]
    (('king', 'queen'), tensor([ 1.5000,  2.0000, -0.3000]))
    """
    asked = f"word vectors in {path}"
    if not isinstance(path, str | PathLike):
        raise GeodlError(asked, describe(path), "give the path of a text file")
    with in_words(asked, "give a text file that you can read"), Path(path).open("rb") as file:
        header, rows = _read(file, str(path))
    if header and header.words != len(rows):
        announced = f"the {header.words} words that line 1 of {path} announces"
        raise GeodlError(announced, f"{len(rows)}", "get the whole file")
    if not rows:
        raise GeodlError(asked, "no line with a word", FORM)
    return Vocabulary(tuple(rows), "word"), torch.from_numpy(np.stack(list(rows.values())))


class _Header(NamedTuple):
    """word2vec's first line."""

    words: int
    width: int


def _read(file: BinaryIO, path: str) -> tuple[_Header | None, dict[str, np.ndarray]]:
    """The first line, if it is word2vec's, and the vector of each word."""
    header = None
    rows: dict[str, np.ndarray] = {}
    width = 0  # not known before the first vector
    # By bytes: only a line feed ends a line, whatever else a word contains.
    for number, line in enumerate(file, 1):
        where = f"line {number} of {path}"
        if number == 1:
            line = line.removeprefix(BOM_UTF8)
        fields = _fields(line, where)
        if number == 1 and len(fields) == 2 and all(field.isdecimal() for field in fields):
            header = _Header(int(fields[0]), int(fields[1]))
            width = header.width
            continue
        word, vector = _row(fields, width or len(fields) - 1, where)
        if word in rows:
            raise GeodlError(where, f"the word {word!r} again", "keep one of its lines")
        rows[word] = vector
        width = len(vector)
    return header, rows


def _fields(line: bytes, where: str) -> list[str]:
    try:
        return line.decode("utf-8").rstrip(" \r\n").split(" ")
    except UnicodeDecodeError as error:
        raise GeodlError(where, str(error), "save the file as UTF-8") from error


def _row(fields: list[str], width: int, where: str) -> tuple[str, np.ndarray]:
    word, *numbers = fields
    if not word or not numbers or len(numbers) != width:
        do = f"{FORM}, {width} of them" if width else FORM
        raise GeodlError(where, f"{len(numbers)} numbers after {word!r}", do)
    # 1_0 is a number in Python only.
    strict = [number.replace("_", "?") for number in numbers]
    try:
        vector = np.array(strict, dtype=np.float32)
    except ValueError as error:
        raise GeodlError(where, str(error), FORM) from error
    if not np.isfinite(vector).all():
        raise GeodlError(where, f"a number that is not finite after {word!r}", FORM)
    return word, vector

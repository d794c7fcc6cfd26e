"""Pre-trained vectors of words from a text file."""

from codecs import BOM_UTF8
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from geodl.data.text_vocabulary import Vocabulary
from geodl.errors import GeodlError

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
        GeodlError: no such file; a line of another width than the first, with something that is no
            finite number, with a word that an earlier line has, or not UTF-8 (its number is named);
            another count than the header's; no words.

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
    rows: dict[str, np.ndarray] = {}
    header: tuple[int, int] | None = None
    try:
        with Path(path).open(
            "rb"
        ) as file:  # by bytes: only a line feed ends a line, whatever else a word contains
            for number, line in enumerate(file, 1):
                line = line.removeprefix(BOM_UTF8) if number == 1 else line
                fields = _fields(line, f"line {number} of {path}")
                if number == 1 and len(fields) == 2 and all(field.isdecimal() for field in fields):
                    header = int(fields[0]), int(fields[1])
                    continue
                width = header[1] if header else len(next(iter(rows.values()), fields[1:]))
                word, vector = _row(fields, width, f"line {number} of {path}")
                if word in rows:
                    raise GeodlError(
                        f"line {number} of {path}",
                        f"the word {word!r} again",
                        "keep one of its lines",
                    )
                rows[word] = vector
    except OSError as error:
        raise GeodlError(f"word vectors in {path}", str(error), "give a text file") from error
    if header and header[0] != len(rows):
        raise GeodlError(
            f"the {header[0]} words that line 1 of {path} announces",
            f"{len(rows)}",
            "get the whole file",
        )
    if not rows:
        raise GeodlError(f"word vectors in {path}", "no line with a word", FORM)
    return Vocabulary(tuple(rows), "word"), torch.from_numpy(np.stack(list(rows.values())))


def _fields(line: bytes, where: str) -> list[str]:
    try:
        return line.decode("utf-8").rstrip(" \r\n").split(" ")
    except UnicodeDecodeError as error:
        raise GeodlError(where, str(error), "save the file as UTF-8") from error


def _row(fields: list[str], width: int, where: str) -> tuple[str, np.ndarray]:
    word, numbers = fields[0], fields[1:]
    if not word or not numbers or len(numbers) != width:
        raise GeodlError(
            where,
            f"{len(numbers)} numbers after {word!r}",
            f"{FORM}, {width} of them" if width else FORM,
        )
    try:
        vector = np.array(
            [number.replace("_", "?") for number in numbers], dtype=np.float32
        )  # 1_0 is a number in Python only
    except ValueError as error:
        raise GeodlError(where, str(error), FORM) from error
    if not np.isfinite(vector).all():
        raise GeodlError(where, f"a number that is not finite after {word!r}", FORM)
    return word, vector

"""What groups are made of: permutations and matrices, as tuples that can be compared."""

import math
from typing import Any

from geodl.errors import GeodlError, as_integer, is_real

Permutations = tuple[tuple[int, ...], ...]
Matrices = tuple[tuple[tuple[float, ...], ...], ...]


def read_permutations(asked: str, value: Any) -> Permutations:
    """Permutations of one set of points 0..d-1, each of them once in every permutation.

    Args:
        asked: what the caller asked for, the beginning of the error.
        value: a sequence of sequences of integers; a tensor or an array of them.

    Raises:
        GeodlError: if it is a string or anything else; if there is none; if one of them is no
            permutation, or has another degree than the first.
    """
    rows = _as_lists(value)
    do = "give permutations, as Group.from_generators([1, 2, 3, 0])"
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise GeodlError(asked, f"{value!r}, no permutations", f"a name makes no group: {do}")
    if not rows or not rows[0]:
        do = "give at least one permutation; [0] generates the group of one element"
        raise GeodlError(asked, "no generators", do)
    read = []
    for row in rows:
        # Integers of numpy and of torch are accepted, booleans and floats are not.
        numbers = tuple(as_integer(image) for image in row)
        if None in numbers or sorted(numbers) != list(range(len(row))):  # type: ignore[type-var] - no None is left
            found = f"{_shortened(row)}, which is no permutation"
            raise GeodlError(asked, found, f"each of 0..{len(row) - 1} stands in it once")
        read.append(numbers)
    degrees = {len(row): None for row in read}
    if len(degrees) > 1:
        found = f"permutations of {' and '.join(map(str, degrees))} points"
        raise GeodlError(
            asked,
            found,
            "give generators of one degree, each with the points that it leaves in place",
        )
    return tuple(read)


def read_matrices(asked: str, value: Any, count: int) -> Matrices:
    """Square matrices of one size, one for each generator.

    Args:
        asked: what the caller asked for, the beginning of the error.
        value: nested sequences `[count, d, d]` of real numbers, a tensor or an array.
        count: how many generators there are.

    Raises:
        GeodlError: if the shape is another one, or if entries are no finite numbers.
    """
    rows = _as_lists(value)
    size = _size_of_first(rows)
    shape = (count, size, size)
    if not _has_shape(rows, shape) or shape[1] == 0:
        found = "matrices of another shape"
        raise GeodlError(asked, found, f"give one square matrix for each of {count} generators")
    matrices = []
    for matrix in rows:
        if not all(is_real(x) and math.isfinite(x) for row in matrix for x in row):
            raise GeodlError(asked, "matrices of other than finite real numbers", "give numbers")
        matrices.append(tuple(tuple(_whole(x) for x in row) for row in matrix))
    return tuple(matrices)


def _as_lists(value: Any) -> Any:
    """Nested lists of whatever holds numbers; anything else as it is."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple | range):
        return [_as_lists(part) for part in value]
    return value


def _size_of_first(rows: Any) -> int:
    """The number of rows of the first matrix; 0 where there is none."""
    if isinstance(rows, list) and rows and isinstance(rows[0], list):
        return len(rows[0])
    return 0


def _has_shape(rows: Any, shape: tuple[int, ...]) -> bool:
    if not shape:
        return not isinstance(rows, list)
    if not isinstance(rows, list) or len(rows) != shape[0]:
        return False
    return all(_has_shape(part, shape[1:]) for part in rows)


def _whole(x: Any) -> float:
    """A whole number as an integer: sums of integers are not rounded."""
    number = float(x)
    if number.is_integer():
        return int(number)
    return number


def _shortened(row: list[Any]) -> str:
    if len(row) <= 12:
        return str(row)
    first = ", ".join(map(str, row[:8]))
    return f"[{first}, ... ({len(row)} numbers)]"

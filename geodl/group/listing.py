"""The elements of a group that permutations generate, and their numbers, by array operations."""

from typing import NamedTuple, final

import numpy as np
import torch
from torch import Tensor

MOST_NUMBERS = 2**24  # entries of a table of elements or of products: 128 MB in 64 bits


class Listed(NamedTuple):
    """All elements of a group.

    Attributes:
        elements: permutations `[n, degree]` in lexicographic order, so that the identity is first.
        matrices: `[n, d, d]` in float64 in the same order; None of a group without any.
    """

    elements: np.ndarray
    matrices: np.ndarray | None


class _Steps(NamedTuple):
    """What elements are multiplied by, from the left: permutations `[S, degree]`, matrices
    `[S, d, d]`.
    """

    moves: np.ndarray
    matrices: np.ndarray | None


def list_elements(generators: np.ndarray, matrices: np.ndarray | None, most: int) -> Listed | None:
    """All products of permutations, level by level: first the identity, then the products of one
    step, of two, and so on until a level is empty. None where there are more than `most`.

    The steps are closed under inverses, so that one step from a level leads to the level before, to
    the level itself or to the next one: no product is compared with more than these.

    Args:
        generators: `[G, degree]`.
        matrices: `[G, d, d]` of the generators, or None.
        most: how many elements are listed.
    """
    steps = _steps_of(generators, matrices)
    level = np.arange(generators.shape[1], dtype=np.int32)[None]
    before = level[:0]
    levels, count = [level], 1
    turned = None if matrices is None else np.eye(matrices.shape[1])[None]
    turned_levels = [turned]
    while len(level):
        products = steps.moves[:, level].reshape(-1, level.shape[1])
        known = np.concatenate((before, level))
        _, first = np.unique(_keys(np.concatenate((known, products))), return_index=True)
        fresh = first[first >= len(known)] - len(known)
        step, element = np.divmod(fresh, len(level))
        if turned is not None and steps.matrices is not None:
            turned = steps.matrices[step] @ turned[element]
        before, level = level, products[fresh]
        levels.append(level)
        turned_levels.append(turned)
        count += len(level)
        if count > most:
            return None
    elements = np.concatenate(levels)
    order = np.argsort(_keys(elements))
    if matrices is None:
        return Listed(elements[order], None)
    return Listed(elements[order], np.concatenate(turned_levels)[order])  # type: ignore[arg-type] - none is None


def _steps_of(generators: np.ndarray, matrices: np.ndarray | None) -> _Steps:
    """The generators g, their powers g^2, g^4, ... and the inverses of all of these.

    With the powers C(n) is listed in log2(n) levels, where g alone would need n.
    """
    degree = generators.shape[1]
    # A group without matrices is listed with matrices of no rows.
    acting = matrices
    if acting is None:
        acting = np.zeros((len(generators), 0, 0))
    rest = np.arange(degree)
    moves, turns = [rest], [np.eye(acting.shape[1])]
    for move, turn in zip(generators, acting, strict=True):
        length = 1
        while length <= degree and not np.array_equal(move, rest):
            moves += [move, np.argsort(move)]
            turns += [turn, np.linalg.inv(turn)]
            move, turn = move[move], turn @ turn
            length *= 2
    stacked = np.stack(moves).astype(np.int32)
    _, kept = np.unique(_keys(stacked), return_index=True)
    if matrices is None:
        return _Steps(stacked[kept], None)
    return _Steps(stacked[kept], np.stack(turns)[kept])


def _keys(rows: np.ndarray) -> np.ndarray:
    """Each row as one string of bytes, the most significant first, so that the strings sort as the
    rows do.
    """
    width = ">u2" if rows.shape[1] <= 2**16 else ">u4"
    wide = np.ascontiguousarray(rows, dtype=width)
    return wide.view(np.dtype((np.void, wide.itemsize * wide.shape[1]))).reshape(-1)


@final
class Numbering:
    """The number that an element has among all, computed from the images of a few points.

    Attributes:
        points: no two elements agree on all of them.
    """

    def __init__(self, elements: Tensor):
        n, self._degree = elements.shape
        self._elements = elements
        self._values: list[Tensor] = []
        self.points: list[int] = []
        # Elements that agree on the points so far have one code. Codes keep the lexicographic order
        # of the elements, so that the last codes are the numbers.
        code = torch.zeros(n, dtype=torch.long)
        count = 1
        for point in range(self._degree):
            if count == n:
                break
            values, refined = torch.unique(
                code * self._degree + elements[:, point], return_inverse=True
            )
            # A point that tells no more elements apart is left out.
            if len(values) > count:
                self._values.append(values)
                self.points.append(point)
                code, count = refined, len(values)

    def number(self, images: Tensor) -> Tensor:
        """The numbers of elements by their images of `points`: `[..., P]` to `[...]`; any number
        where there is no such element.
        """
        code = torch.zeros(images.shape[:-1], dtype=torch.long)
        for k, values in enumerate(self._values):
            refined = torch.searchsorted(values, code * self._degree + images[..., k])
            code = refined.clamp(max=len(values) - 1)
        return code

    def find(self, permutations: Tensor) -> Tensor:
        """The numbers of permutations `[m, degree]`: `[m]`, -1 for one that is no element."""
        code = self.number(permutations[:, self.points])
        same = (self._elements[code] == permutations).all(1)
        return torch.where(same, code, -1)

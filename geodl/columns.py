"""Lines of cells in columns, for a terminal."""

from collections.abc import Container, Sequence


def align(lines: Sequence[Sequence[str]], numbers: Container[int] = ()) -> str:
    """Lines of cells as columns two spaces apart.

    Args:
        lines: the cells of each line, as many in every line.
        numbers: the columns that are aligned to the right.

    >>> print(align([("name", "ms"), ("conv2d", "7")], numbers=[1]))
    name    ms
    conv2d   7
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_line(cells, widths, numbers) for cells in lines)


def _line(cells: Sequence[str], widths: Sequence[int], numbers: Container[int]) -> str:
    filled = []
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        if column in numbers:
            filled.append(cell.rjust(width))
        else:
            filled.append(cell.ljust(width))
    return "  ".join(filled).rstrip()

"""Rows as a table to read and as a file for programs."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from geodl.columns import align
from geodl.files import write_json
from geodl.verify.base import Row

HEAD = (
    "claim",
    "domain",
    "nodes",
    "edges",
    "parameters",
    "max output error",
    "max gradient error",
    "bound",
    "",
)
NUMBERS = range(2, 8)


def table(rows: Sequence[Row]) -> str:
    """A line for each row, ending in PASS or FAIL, and one that counts them.

    >>> print(table([Row("05 conv1d", "Grid(12)", 12, 34, 20, 3.4e-16, 2.1e-16, 1e-11, True)]))
    claim      domain    nodes  edges  parameters  max output error  max gradient error  bound
    05 conv1d  Grid(12)     12     34          20           3.4e-16             2.1e-16  1e-11  PASS
    1 of 1 claims hold
    """
    count = f"{sum(row.passed for row in rows)} of {len(rows)} claims hold"
    return align([HEAD, *(_cells(row) for row in rows)], NUMBERS) + "\n" + count


def save(rows: Sequence[Row], path: str | Path) -> None:
    """Write rows as a JSON list of objects; a file that was there is replaced at once or not at
    all.

    An error that is infinite (or not a number) is written as the largest float: JSON has no other.

    Raises:
        GeodlError: if the folder is missing or cannot be written.
    """
    write_json(Path(path), [_finite(row) for row in rows], indent=1)


def _cells(row: Row) -> tuple[str, ...]:
    """The cells of a row, as text."""
    sizes = (str(row.nodes), str(row.edges), str(row.parameters))
    errors = (f"{row.max_output_error:.1e}", f"{row.max_gradient_error:.1e}", f"{row.bound:.0e}")
    verdict = "PASS" if row.passed else "FAIL"
    return (row.claim, row.domain, *sizes, *errors, verdict)


def _finite(row: Row) -> dict[str, object]:
    """The fields of a row, with numbers that JSON has."""
    fields = row._asdict()
    for name, value in fields.items():
        if isinstance(value, float) and not math.isfinite(value):
            fields[name] = sys.float_info.max
    return fields

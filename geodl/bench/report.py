"""Rows as a table to read and as a file for programs."""

import json
from collections.abc import Sequence
from pathlib import Path

from geodl.bench.harness import BenchRow
from geodl.columns import align
from geodl.files import write_json

HEAD = (
    "row",
    "case",
    "peer",
    "ours ms",
    "peer ms",
    "ratio",
    "trimming off",
    "reach",
    "faults",
    "peer's",
    "",
    "note",
)
NUMBERS = range(3, 10)


def table(rows: Sequence[BenchRow]) -> str:
    """A line for each comparison, and one that counts those within reach.

    >>> numbers = (10.0, 10.0, 1.0, 0.98, 1.05, 0.0, 12.0)
    >>> print(table([BenchRow("lstm", "LSTM 64", "nn.LSTM", *numbers, True)]))
    row   case     peer     ours ms  peer ms  ratio  trimming off  reach  faults  peer's       note
    lstm  LSTM 64  nn.LSTM   10.000   10.000  1.000         0.980  1.050       0      12  yes
    1 of 1 targets reached
    """
    asked = [row for row in rows if row.reach is not None]
    count = f"{sum(row.reached for row in asked)} of {len(asked)} targets reached"
    devices = sorted({row.device for row in rows} - {"cpu"})
    if devices:
        count = f"{count}; timed on {', '.join(devices)}, where there are no targets"
    lines = align([HEAD, *(_cells(row) for row in rows)], NUMBERS)
    return f"{lines}\n{count}"


def save(rows: Sequence[BenchRow], path: str | Path) -> None:
    """Write rows as a JSON list of objects; a file that was there is replaced at once or not at
    all.

    Raises:
        GeodlError: if the folder is missing or cannot be written.
    """
    write_json(Path(path), [row._asdict() for row in rows], indent=1)


def load(path: str | Path) -> list[BenchRow]:
    """The rows of a file that :func:`save` wrote."""
    return [BenchRow(**row) for row in json.loads(Path(path).read_text())]


def _cells(row: BenchRow) -> tuple[str, ...]:
    """The cells of a row, as text."""
    times = (row.ours_ms, row.peer_ms, row.ratio, row.ratio_trimming_off, row.reach)
    numbers = [_number(value, 3) for value in times]
    faults = [_number(value, 0) for value in (row.our_faults, row.peer_faults)]
    verdict = ""
    if row.reach is not None:
        verdict = "yes" if row.reached else "no"
    return (row.row, row.case, row.peer, *numbers, *faults, verdict, row.note)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"

"""The claims of the library, proved on numbers: one layer is a convolution, a recurrence,
attention, a GCN, a group CNN.

Each row of claims is checked in float64 with all parameters drawn at random, outputs and every
gradient, against peers that share no code with the library: torch.nn, PyG, dense matrices and
filters rotated by hand.
"""

import math
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from geodl.errors import GeodlError
from geodl.verify import (
    attention,
    chains,
    gcn,
    graphs,
    lattices,
    positions,
    rotations,
    sharing,
    signals,
    spectra,
    trained,
    transformers,
    two_graphs,
)
from geodl.verify.base import Claim, Row
from geodl.verify.report import save, table

CLAIMS: dict[str, tuple[Claim, ...]] = {
    "01": signals.CLAIMS,
    "02": graphs.CLAIMS,
    "03": spectra.CLAIMS,
    "04": gcn.CLAIMS,
    "05": lattices.CLAIMS,
    "06": chains.CLAIMS,
    "07": attention.CLAIMS,
    "08": (*transformers.CLAIMS, *positions.CLAIMS),
    "09": two_graphs.CLAIMS,
    "10": sharing.CLAIMS,
    "11": rotations.CLAIMS,
    "12": trained.CLAIMS,
}


def run(
    *, rows: tuple[str, ...] = (), progress: Callable[[Row], object] | None = None
) -> list[Row]:
    """Check claims. One that raises an error gives a row that failed and quotes the error; the
    others are checked all the same.

    Args:
        rows: numbers of the rows to check, as "05"; all rows by default.
        progress: called with each row as soon as it is known.

    Returns:
        A row for each claim, in order.

    Raises:
        GeodlError: if a number has no claims.

    >>> all(row.passed for row in run(rows=("02",)))
    True
    """
    unknown = sorted(set(rows) - set(CLAIMS))
    if unknown:
        raise GeodlError(
            f"verify(rows={rows})",
            f"no claims numbered {', '.join(unknown)}",
            f"choose from {', '.join(CLAIMS)}",
        )
    found: list[Row] = []

    def note(row: Row) -> None:
        found.append(row)
        if progress is not None:
            progress(row)

    with _one_thread_own_randomness():
        for number in rows or CLAIMS:
            for claim in CLAIMS[number]:
                _check(number, claim, note)
    return found


@contextmanager
def _one_thread_own_randomness() -> Iterator[None]:
    """Run on one thread, because small tensors gain nothing from more, and leave the caller's
    number of threads and random state as they were.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)


def _check(number: str, claim: Claim, note: Callable[[Row], None]) -> None:
    """Pass on each row of a claim, and one that failed where the claim raises an error."""
    rows = iter(claim())
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except Exception as error:
            reason = textwrap.shorten(f"{type(error).__name__}: {error}", 100)
            name = f"{number} {claim.__name__} stopped: {reason}"
            return note(Row(name, "", 0, 0, 0, math.inf, math.inf, 0.0, False))
        note(row)


__all__ = ["CLAIMS", "Row", "run", "save", "table"]

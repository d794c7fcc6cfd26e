"""A bar for certificates that take their time."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
PATIENCE = 1.0  # seconds without a bar


def watched(parts: Sequence[Item]) -> Iterable[Item]:
    """The parts of a model one by one; on a terminal, from the second second on, with a bar that
    leaves when it is done.
    """
    # Not at the top: nobody else needs it. It comes with torch-geometric.
    from tqdm import tqdm

    # disable=None: no bar where standard error is no terminal.
    return tqdm(parts, desc="certify", unit=" layers", delay=PATIENCE, disable=None, leave=False)

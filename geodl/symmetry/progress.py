"""A progress bar for certificates that take more than a second."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
DELAY = 1.0  # seconds before the bar appears


def watched(parts: Sequence[Item]) -> Iterable[Item]:
    """The parts of a model one by one; on a terminal, after the first second, with a progress bar
    that is removed at the end.
    """
    # Imported here, because importing geodl takes no tqdm. torch-geometric depends on it.
    from tqdm import tqdm

    # disable=None: no bar where standard error is no terminal.
    return tqdm(parts, desc="certify", unit=" layers", delay=DELAY, disable=None, leave=False)

"""A progress bar for certificates that take more than a second."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
DELAY = 1.0  # seconds before the bar appears


def watched(items: Sequence[Item], unit: str) -> Iterable[Item]:
    """The layers of a model one by one, or the claims of a layer; on a terminal, after the first
    second, with a progress bar that is removed at the end.

    Args:
        items: one by one.
        unit: what they are, in words.
    """
    # Imported here, because importing geodl takes no tqdm. torch-geometric depends on it.
    from tqdm import tqdm

    # disable=None: no bar where standard error is no terminal.
    return tqdm(items, desc="certify", unit=f" {unit}", delay=DELAY, disable=None, leave=False)

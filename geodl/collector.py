"""Python's search for garbage, kept small while this package is imported.

An import makes so many objects that Python stops to look for cycles among all of the process's, the
170,000 of torch included, which took 87 of 140 milliseconds (measured, Python 3.11).
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Among what is set aside, if this is the first to import it.
import torch as torch


@contextmanager
def older_objects_set_aside() -> Iterator[None]:
    """Leave the objects that there are out of the search, and give them back in the end.

    Where a program has set objects aside itself, nothing changes: to give back is to give all back.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()

"""What a command has of its terminal and of its process."""

import ctypes
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Show = Callable[..., None]


@contextmanager
def progress() -> Iterator[Show]:
    """A bar on a terminal; elsewhere a line now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console, told = Console(), time.monotonic()
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True, refresh_per_second=4) as bar:
            task = bar.add_task("", total=None)
            yield lambda line, done=0, total=None: bar.update(
                task, description=line, completed=done, total=total
            )
        return

    def tell(line: str, done: int = 0, total: int | None = None) -> None:
        nonlocal told
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"{line}, step {done} of {total}" if total else line, flush=True)

    yield tell


def keep_freed_memory() -> None:
    """Have glibc keep the memory that a step frees.

    A training step frees and asks for the same large blocks again; glibc hands each back to the
    system, and every page of it has to be faulted in anew: up to half the time of a step. Done in
    this command only: a library has no say in it.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None and hasattr(libc, "mallopt"):
        for option in (-3, -1):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
            libc.mallopt(option, 1 << 30)

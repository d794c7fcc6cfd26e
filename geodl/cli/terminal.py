"""What a command has of its terminal and of its process."""

import ctypes
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Show = Callable[..., None]


@contextmanager
def progress() -> Iterator[Show]:
    """A function that tells how far long work is: `show(line, done, total)`.

    It moves a bar on a terminal, and prints a line every ten seconds elsewhere.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console()
    if not console.is_terminal:
        yield _lines(every=10)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, refresh_per_second=4) as bar:
        task = bar.add_task("", total=None)

        def move(line: str, done: int = 0, total: int | None = None) -> None:
            bar.update(task, description=line, completed=done, total=total or None)

        yield move


def _lines(every: float) -> Show:
    """Prints a line, unless it printed one less than so many seconds ago."""
    printed = time.monotonic()

    def tell(line: str, done: int = 0, total: int | None = None) -> None:
        nonlocal printed
        if time.monotonic() - printed <= every:
            return
        printed = time.monotonic()
        if total:
            line = f"{line}, step {done} of {total}"
        print(line, flush=True)

    return tell


def keep_freed_memory() -> None:
    """Have glibc keep the memory that a step frees.

    A training step frees and asks for the same large blocks again; glibc hands each back to the
    system, and every page of it has to be faulted in anew: up to half the time of a step. Done in
    this command only: a library has no say in it.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for option in (-3, -1):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
            libc.mallopt(option, 1 << 30)

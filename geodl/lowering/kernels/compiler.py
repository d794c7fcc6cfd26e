"""Kernels as machine code, by numba."""

import functools
from collections.abc import Callable
from importlib import import_module
from typing import Any

Kernel = Callable[..., None]


@functools.cache
def numba_missing() -> str:
    """Why no kernel can be compiled here; "" where it can.

    numba is imported here, while a lowering plans, and not with the library: it takes a second.
    """
    try:
        numba: Any = import_module("numba")
    except (ImportError, OSError) as error:
        return f"numba does not load ({error}): pip install 'geodl[fast]'"
    if numba.config.DISABLE_JIT:
        return "NUMBA_DISABLE_JIT is set"
    try:
        numba.njit(cache=True)(_nothing)
    except RuntimeError:
        # Without a cache every process, and every worker of a DataLoader, would compile for
        # seconds: torch's operations are done sooner.
        return "numba finds no folder for its cache: set NUMBA_CACHE_DIR to one"
    return ""


@functools.cache
def compiled(kernel: Kernel, *parts: Kernel) -> Kernel:
    """A kernel compiled on its first call and kept on disk; numba must not be missing.

    It runs without the interpreter's lock. It is serial: numba's own threads (`parallel=True`) kill
    or hang forked workers of a DataLoader. Sums may be taken in another order, as vectors need it.

    Args:
        kernel: a function that calls nothing but Python's and numpy's own.
        parts: functions of the same file that it calls as well.
    """
    import numba
    from numba.extending import register_jitable

    for part in parts:
        register_jitable(part)
    options: Any = {"nogil": True, "cache": True, "fastmath": {"reassoc", "contract"}}
    return numba.njit(**options)(kernel)


def _nothing() -> None:
    """What is compiled to see whether numba can."""

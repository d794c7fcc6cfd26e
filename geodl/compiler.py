"""Kernels as machine code, by numba."""

import functools
from collections.abc import Callable
from importlib import import_module
from typing import Any

from geodl.vectors import VECTORS, teach_vectors

Kernel = Callable[..., None]
Part = Callable[..., Any] | tuple[Callable[..., Any], Callable[..., Any]]


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
def compiled(kernel: Kernel, *parts: Part) -> Kernel:
    """A kernel compiled on its first call and kept on disk; numba must not be missing.

    What is kept is made anew when the kernel's file changes, and no other.

    It runs without the interpreter's lock. It is serial: numba's own threads (`parallel=True`) kill
    or hang forked workers of a DataLoader. Sums may be taken in another order, as vectors need it.

    Args:
        kernel: a function that calls nothing but Python's and numpy's own.
        parts: functions of the same file that it calls as well, :func:`prefetch`, and those of
            `geodl/vectors.py`; a pair is a function of one number and the one that takes its place
            in single precision.
    """
    import numba
    from numba.extending import register_jitable

    for part in parts:
        if part is prefetch:
            _teach_prefetch()
        elif part in VECTORS:
            teach_vectors()
        elif isinstance(part, tuple):
            _teach_single(*part)
        else:
            register_jitable(part)
    options: Any = {"nogil": True, "cache": True, "fastmath": {"reassoc", "contract"}}
    return numba.njit(**options)(kernel)


def prefetch(array: Any, place: Any) -> None:
    """Ask for the cache line of a number in an array of one axis, which will be read soon.

    A hint to the processor, and nothing to Python.
    """


@functools.cache
def _teach_prefetch() -> None:
    """Let numba translate :func:`prefetch` into the processor's own instruction."""
    from numba.extending import intrinsic, overload

    @intrinsic
    def line(typing: Any, array: Any, place: Any) -> Any:
        from numba.core import cgutils, types

        ir: Any = cgutils.ir  # pyright: ignore[reportPrivateImportUsage] - of numba's own compiler

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            held = context.make_array(signature.args[0])(context, builder, values[0])
            byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
            address = builder.bitcast(builder.gep(held.data, [values[1]]), byte)
            form = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
            hint = builder.module.declare_intrinsic("llvm.prefetch", [byte], form)
            # to be read (0), to be kept (3 of 0 to 3), data and no instructions (1)
            builder.call(hint, [address, word(0), word(3), word(1)])
            return context.get_dummy_value()

        return types.void(array, place), generate

    hint_of: Any = line  # called without the first argument, which numba gives

    @overload(prefetch)
    def translated(array, place):  # numba compares the names, and annotations, of what it returns
        return lambda array, place: hint_of(array, place)


def _teach_single(function: Callable[..., Any], single: Callable[..., Any]) -> None:
    """Let numba take another function where a number has single precision."""
    from numba.extending import overload, register_jitable

    register_jitable(single)

    @overload(function)
    def chosen(x):
        if x.bitwidth == 32:
            return lambda x: single(x)
        return function


def _nothing() -> None:
    """What is compiled to see whether numba can."""

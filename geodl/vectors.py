"""Vectors: a row's channels in the processor's registers, while a kernel computes with them.

A loop over channels inside of one over edges reads and writes its sums in memory at each edge,
for numba lets LLVM make vectors of loops only, and not of what stands side by side. The functions
here are what a kernel writes instead: to Python they compute with numpy's rows, and numba
translates each into one instruction of LLVM on a vector of a fixed width, of which LLVM makes as
many registers as the processor needs.

The width is the length of a tuple, `lanes`, because that is a part of its type, which is all that
is known while a kernel is compiled. Powers of two are wanted: of others LLVM makes single numbers.
Places in an array are counted along all of its axes, and nothing is checked against its end.
"""

import functools
from typing import Any

import numpy as np

Lanes = tuple[int, ...]


def lanes_of(width: int) -> Lanes:
    """What tells a kernel how wide its vectors are."""
    return (0,) * width


def zeros(array: Any, lanes: Any) -> Any:
    """A vector of zeros, of the array's type."""
    return np.zeros(len(lanes), array.dtype)


def load(array: Any, place: Any, lanes: Any) -> Any:
    """The vector that begins at a place in an array."""
    return array.reshape(-1)[place : place + len(lanes)].copy()


def store(array: Any, place: Any, vector: Any) -> None:
    """Write a vector to an array, from a place on."""
    array.reshape(-1)[place : place + len(vector)] = vector


def add(total: Any, vector: Any) -> Any:
    """The sum of two vectors."""
    return total + vector


def add_product(total: Any, number: Any, vector: Any) -> Any:
    """`total + number * vector`, rounded once where the processor can."""
    return total + number * vector


def entry(array: Any, place: Any) -> Any:
    """The number at a place that is not negative: numpy's places may be, which count from the end,
    and that costs a choice at each.
    """
    return array.reshape(-1)[place]


VECTORS = zeros, load, store, add, add_product, entry


@functools.cache
def teach_vectors() -> None:
    """Let numba translate the functions of this file."""
    from numba.extending import intrinsic, overload

    # numba compares the names of what an overload returns with those of the function itself.
    made: Any = intrinsic(_zeros)
    overload(zeros)(lambda array, lanes: lambda array, lanes: made(array, lanes))
    loaded: Any = intrinsic(_load)
    overload(load)(
        lambda array, place, lanes: lambda array, place, lanes: loaded(array, place, lanes)
    )
    stored: Any = intrinsic(_store)
    overload(store)(
        lambda array, place, vector: lambda array, place, vector: stored(array, place, vector)
    )
    added: Any = intrinsic(_add)
    overload(add)(lambda total, vector: lambda total, vector: added(total, vector))
    scaled: Any = intrinsic(_add_product)
    overload(add_product)(
        lambda total, number, vector: lambda total, number, vector: scaled(total, number, vector)
    )
    read: Any = intrinsic(_entry)
    overload(entry)(lambda array, place: lambda array, place: read(array, place))


# Each of the following answers numba with the types of a call, and with a function that writes
# the call's instructions; `values` in it are those of the arguments.


def _zeros(typing: Any, array: Any, lanes: Any) -> Any:
    vector = _vector(array.dtype, len(lanes))

    def write(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return context.get_constant_null(vector)

    return vector(array, lanes), write


def _load(typing: Any, array: Any, place: Any, lanes: Any) -> Any:
    vector = _vector(array.dtype, len(lanes))

    def write(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address = _address(context, builder, signature, values)
        address = builder.bitcast(address, context.get_value_type(vector).as_pointer())
        return builder.load(address, align=_align(vector))

    return vector(array, place, lanes), write


def _store(typing: Any, array: Any, place: Any, vector: Any) -> Any:
    from numba.core import types

    def write(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address = _address(context, builder, signature, values)
        address = builder.bitcast(address, context.get_value_type(vector).as_pointer())
        builder.store(values[2], address, align=_align(vector))
        return context.get_dummy_value()

    return types.void(array, place, vector), write


def _add(typing: Any, total: Any, vector: Any) -> Any:
    def write(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.fadd(*values)

    return vector(total, vector), write


def _add_product(typing: Any, total: Any, number: Any, vector: Any) -> Any:
    def write(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        scalar, row = values[1:]
        # The number in all lanes: put into the first, which is then read for each.
        word = _ir().IntType(32)
        first = builder.insert_element(context.get_constant_undef(vector), scalar, word(0))
        everywhere = _ir().Constant(_ir().VectorType(word, vector.width), None)
        spread = builder.shuffle_vector(first, first, everywhere)
        # One instruction on most processors: kernels are compiled with "contract".
        return builder.fadd(values[0], builder.fmul(spread, row))

    return vector(total, vector.number, vector), write


def _entry(typing: Any, array: Any, place: Any) -> Any:
    def write(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load(_address(context, builder, signature, values))

    return array.dtype(array, place), write


def _address(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Where the number at a place of an array is, for a call whose first arguments are these."""
    from numba.core import types

    array, place = signature.args[:2]
    start = context.make_array(array)(context, builder, values[0]).data
    # as many bits as an address has
    return builder.gep(start, [context.cast(builder, values[1], place, types.intp)])


def _align(vector: Any) -> int:
    """Bytes that divide a vector's address: those of one number, for torch promises no more of a
    tensor that begins inside of another.
    """
    return vector.number.bitwidth // 8


@functools.cache
def _vector_class() -> Any:
    """The class of numba's types of vectors, which LLVM knows as they are."""
    from numba.core import types
    from numba.core.datamodel.models import PrimitiveModel
    from numba.extending import register_model

    class Vector(types.Type):
        def __init__(self, number: Any, width: int):
            self.number, self.width = number, width
            super().__init__(f"Vector({number}, {width})")

    @register_model(Vector)
    class Model(PrimitiveModel):
        def __init__(self, manager: Any, kind: Any):
            number = manager.lookup(kind.number).get_value_type()
            super().__init__(manager, kind, _ir().VectorType(number, kind.width))

    return Vector


def _vector(number: Any, width: int) -> Any:
    return _vector_class()(number, width)


def _ir() -> Any:
    from numba.core import cgutils

    return cgutils.ir  # pyright: ignore[reportPrivateImportUsage] - of numba's own compiler

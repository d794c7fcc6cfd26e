"""The kernels on which verbs run, in order of preference. A new one is a file and an entry here."""

from geodl.lowering import (
    banded,
    blocks,
    edge_softmax,
    edges,
    fft,
    gft,
    lattice,
    lattice_pool,
    levels,
    linear,
    mean,
    polynomial,
    regroup,
    rnn,
    sdpa,
    segment_message,
    segment_pool,
    spmm,
    spmm_pool,
)
from geodl.lowering.base import Lowering

LOWERINGS: dict[str, tuple[Lowering, ...]] = {
    "convolve": (
        lattice.convolve,
        fft.convolve,
        mean.convolve,
        gft.convolve,
        polynomial.convolve,
        regroup.convolve,
        spmm.convolve,
        edges.convolve,
    ),
    "attend": (sdpa.attend, linear.attend, banded.attend, edge_softmax.attend, edges.attend),
    "message": (segment_message.message, edges.message),
    "recur": (rnn.recur, levels.recur, edges.recur),
    "pool": (lattice_pool.pool, blocks.pool, spmm_pool.pool, segment_pool.pool, edges.pool),
}

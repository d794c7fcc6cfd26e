"""How fast the layers are beside their peers.

A new row is a file with `cases`, and an entry here.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import geodl
from geodl.bench import (
    attention,
    banded,
    conv2d,
    cora_epoch,
    deepsets,
    edge_softmax,
    gpt,
    group_conv,
    imports,
    lstm,
    overhead,
    p4cnn_step,
    spmm,
    tree,
)
from geodl.bench.harness import BenchRow, Case, measured
from geodl.bench.report import load, save, table
from geodl.errors import GeodlError, nearest

ROWS: dict[str, Callable[[], Iterator[Case]]] = {
    "conv2d": conv2d.cases,
    "group-conv": group_conv.cases,
    "p4cnn-step": p4cnn_step.cases,
    "spmm": spmm.cases,
    "cora-epoch": cora_epoch.cases,
    "deepsets": deepsets.cases,
    "attention": attention.cases,
    "banded": banded.cases,
    "edge-softmax": edge_softmax.cases,
    "gpt": gpt.cases,
    "lstm": lstm.cases,
    "tree": tree.cases,
    "overhead": overhead.cases,
    "import": imports.cases,
}
NEVER = str(
    4 << 30
)  # bytes: no block is large enough to be mapped alone, no top of the heap to be given back


def names() -> tuple[str, ...]:
    """The rows there are."""
    return tuple(ROWS)


def run(
    names: Sequence[str] = (), progress: Callable[[BenchRow], object] | None = None
) -> list[BenchRow]:
    """Time rows in this process, and again in one whose allocator keeps its memory.

    The default allocator of glibc gives large blocks back and faults them in again at the next
    call, which costs every library up to half its time, and not each the same: so both ratios are
    told.

    Args:
        names: of the rows; all of them by default.
        progress: called with each comparison as soon as it is known.

    Raises:
        GeodlError: an unknown row.
    """
    for name in names:
        if name not in ROWS:
            raise GeodlError(f"the benchmark row {name!r}", do=nearest(name, ROWS))
    found = []
    for name in names or ROWS:
        here, without = list(measured(name, ROWS[name]())), trimming_off(name)
        for row in here:
            found.append(row._replace(ratio_trimming_off=without.get((row.case, row.peer))))
            if progress is not None:
                progress(found[-1])
    return found


def trimming_off(name: str) -> dict[tuple[str, str], float | None]:
    """The ratios of a row by (case, peer), from a process that returns no memory to the system;
    empty where it fails.
    """
    path = os.pathsep.join([str(Path(geodl.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    kept = {
        **os.environ,
        "PYTHONPATH": path,
        "MALLOC_MMAP_THRESHOLD_": NEVER,
        "MALLOC_TRIM_THRESHOLD_": NEVER,
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        done = subprocess.run(
            [sys.executable, "-m", "geodl.bench", name, str(file)],
            env=kept,
            capture_output=True,
            check=False,
        )
        return {(r.case, r.peer): r.ratio for r in load(file)} if done.returncode == 0 else {}


__all__ = ["ROWS", "BenchRow", "names", "run", "save", "table"]

"""How fast the layers are beside their peers.

A new row is a file with a function `cases(sizes, device)`, and an entry here.
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
    families,
    gan,
    gpt,
    group_conv,
    imported_resnet,
    imports,
    lstm,
    message,
    mini_batches,
    overhead,
    p4cnn_step,
    polynomial,
    pool,
    pyg_model,
    spmm,
    tree,
    wide_windows,
)
from geodl.bench.harness import BenchRow, Case, measured
from geodl.bench.meter import check_device
from geodl.bench.report import load, save, table
from geodl.errors import GeodlError, nearest

ROWS: dict[str, Callable[..., Iterator[Case]]] = {
    "conv2d": conv2d.cases,
    "group-conv": group_conv.cases,
    "wide-windows": wide_windows.cases,
    "p4cnn-step": p4cnn_step.cases,
    "imported-resnet": imported_resnet.cases,
    "families": families.cases,
    "gan": gan.cases,
    "spmm": spmm.cases,
    "pool": pool.cases,
    "polynomial": polynomial.cases,
    "cora-epoch": cora_epoch.cases,
    "mini-batches": mini_batches.cases,
    "pyg-model": pyg_model.cases,
    "deepsets": deepsets.cases,
    "attention": attention.cases,
    "banded": banded.cases,
    "edge-softmax": edge_softmax.cases,
    "message": message.cases,
    "gpt": gpt.cases,
    "lstm": lstm.cases,
    "tree": tree.cases,
    "overhead": overhead.cases,
    "import": imports.cases,
}
# Bytes: no block is large enough to be mapped alone, no top of the heap to be given back.
NEVER = str(4 << 30)


def names() -> tuple[str, ...]:
    """The rows there are.

    >>> "conv2d" in names()
    True
    """
    return tuple(ROWS)


def run(
    names: Sequence[str] = (),
    progress: Callable[[BenchRow], object] | None = None,
    *,
    device: str = "cpu",
) -> list[BenchRow]:
    """Time rows in this process; on the CPU, also in one whose allocator keeps its memory.

    The default allocator of glibc gives large blocks back and faults them in again at the next
    call, which costs every library up to half its time, and not each the same: so both ratios are
    measured. On a GPU torch's own allocator keeps memory anyway.

    Args:
        names: of the rows; all of them by default.
        progress: called with each comparison as soon as it is known.
        device: "cpu", "cuda" or "cuda:1". Targets are those of the CPU; on a GPU the ratios are
            measured, and nothing is asked of them.

    Raises:
        GeodlError: if a row is unknown, or the device is not there.
    """
    for name in names:
        if name not in ROWS:
            raise GeodlError(f"the benchmark row {name!r}", do=nearest(name, ROWS))
    where = check_device(device)
    found = []
    for name in names or ROWS:
        rows = list(measured(name, ROWS[name](device=where), device=where))
        kept = trimming_off(name) if where.type == "cpu" else {}
        for row in rows:
            row = row._replace(ratio_trimming_off=kept.get((row.case, row.peer)))
            found.append(row)
            if progress is not None:
                progress(row)
    return found


def trimming_off(name: str) -> dict[tuple[str, str], float | None]:
    """The ratios of a row by (case, peer), from a process that returns no memory to the system;
    empty where it fails.
    """
    package = str(Path(geodl.__file__).parents[1])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([package, os.environ.get("PYTHONPATH", "")]),
        "MALLOC_MMAP_THRESHOLD_": NEVER,
        "MALLOC_TRIM_THRESHOLD_": NEVER,
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "geodl.bench", name, str(file)]
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        if done.returncode != 0:
            return {}
        return {(row.case, row.peer): row.ratio for row in load(file)}


__all__ = ["ROWS", "BenchRow", "names", "run", "save", "table"]

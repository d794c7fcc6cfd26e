"""What `import geodl` costs over `import torch`, each in a fresh interpreter."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import geodl
from geodl.bench.harness import Case, Side


@dataclass(frozen=True)
class Sizes:
    """The two modules."""

    ours: str = "geodl"
    peer: str = "torch"


def cases(sizes: Sizes = Sizes()) -> Iterator[Case]:
    """The interpreter's own start is in both."""
    yield Case(
        f"import {sizes.ours}", f"import {sizes.peer}", _side(sizes.ours), _side(sizes.peer), 1.3
    )


def _side(module: str) -> Side:
    path = os.pathsep.join([str(Path(geodl.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    where = {**os.environ, "PYTHONPATH": path}

    def call() -> int:
        return subprocess.run(
            [sys.executable, "-c", f"import {module}"], env=where, check=True
        ).returncode

    def answer() -> list[Tensor]:
        return [torch.tensor([float(call())])]

    return Side(call, answer)

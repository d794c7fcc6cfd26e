"""What `import geodl` costs over `import torch`, each in a fresh interpreter."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

import geodl
from geodl.bench.harness import Case, Side
from geodl.bench.meter import CPU


class Sizes(NamedTuple):
    """The two modules."""

    ours: str = "geodl"
    peer: str = "torch"


USUAL = Sizes()


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """The interpreter's own start is in both; no device is touched."""
    ours, peer = f"import {sizes.ours}", f"import {sizes.peer}"
    yield Case(ours, peer, _side(ours), _side(peer), 1.3)


def _side(statement: str) -> Side:
    package = str(Path(geodl.__file__).parents[1])
    path = os.pathsep.join([package, os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    # An installed package has its bytecode, as torch has. Where Python may write none, compiling
    # would be timed.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", statement]

    def call() -> int:
        return subprocess.run(command, env=environment, check=True).returncode

    def answer() -> list[Tensor]:
        return [torch.tensor([float(call())])]

    return Side(call, answer)

"""What every test and doctest stands on: one thread a worker, data away from the user's, the same
examples in CI.
"""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

# Two workers on two cores: more threads would fight, and a sum's order would depend on the machine.
# Before torch loads.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "Agg"

import pytest
import torch
from hypothesis import HealthCheck, settings

settings.register_profile(
    "local", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

MIRROR = Path(
    os.environ.get("GEODL_MIRROR") or Path(__file__).resolve().parent.parent / "shared" / "data"
)


@pytest.fixture(scope="session", autouse=True)
def _own_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads or writes the data of the user who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("datasets")
        patch.setenv("GEODL_DATA", str(root))
        if MIRROR.is_dir():
            patch.setenv("GEODL_MIRROR", str(MIRROR))
        yield root


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """What a test draws does not depend on the tests that ran before it."""
    torch.manual_seed(0)


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    """A test compiles for itself; torch's own compiler speaks of what it will change."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
        # The first reset of a process imports the default back end.
        torch.compiler.reset()
        yield


@pytest.fixture
def edge_sums(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The edges of each sum of what receivers and senders had computed of a first layer."""
    from geodl.lowering.incidence import SumAtEdges

    seen, apply = [], SumAtEdges.apply

    def noting(ends, a, b):
        seen.append(len(ends.pair))
        return apply(ends, a, b)

    monkeypatch.setattr(SumAtEdges, "apply", noting)
    return seen


@pytest.fixture(scope="session")
def mirror() -> Path:
    """A folder that holds the real data sets; the test is skipped where there is none."""
    if not MIRROR.is_dir():
        pytest.skip("no mirror of the data sets: set GEODL_MIRROR to a folder that has them")
    return MIRROR


@pytest.fixture(scope="session")
def data_root(mirror: Path, _own_data: Path) -> Path:
    """An empty data root of this worker's own, filled from the mirror as loaders ask for files."""
    return _own_data

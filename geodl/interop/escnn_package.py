"""escnn itself, which is not required: importing it, and building its modules."""

import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from geodl.errors import GeodlError

INSTALL = "pip install --no-deps escnn lie_learn joblib pymanopt autograd"
# Held by whoever builds: what stands aside meanwhile is put back by the one who took it.
BUILDING = threading.RLock()


def escnn_modules() -> tuple[Any, Any]:
    """escnn's modules `gspaces` and `nn`.

    Raises:
        GeodlError: if escnn is not installed.
    """
    try:
        from escnn import gspaces
        from escnn import nn as layers
    except ImportError as error:
        found = f"no escnn ({error})"
        do = f"{INSTALL}; layers, models and certificates of geodl work without it"
        raise GeodlError("a conversion of escnn", found, do) from error
    return gspaces, layers


@contextmanager
def building_escnn() -> Iterator[None]:
    """A block in which escnn's modules of groups with mirrors can be built beside a current
    scikit-learn; :func:`to_escnn` builds in one.

    escnn 1.0.11 hands `np.matrix` to scikit-learn's `randomized_svd`, which takes none from 1.2 on
    (its issue 112). Where scikit-learn is not installed escnn asks scipy for the same singular
    values: inside the block it does as if it were not. Blocks of several threads wait for each
    other, and what they set aside is back in its place behind them.

    Raises:
        GeodlError: if escnn is not installed.

    Example: `with g.interop.building_escnn(): net = R2Conv(regular, regular, 3)`.
    """
    escnn_modules()
    numerical: Any = importlib.import_module("escnn.group._numerical")
    with BUILDING:
        kept = numerical.randomized_svd
        numerical.randomized_svd = None
        try:
            yield
        finally:
            numerical.randomized_svd = kept

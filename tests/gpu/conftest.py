"""Single precision is single precision: no TensorFloat-32 in the kernels that are compared."""

import warnings
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _context() -> None:
    """The thread of backward finds a CUDA context: where none is current as it first calls cuBLAS,
    torch makes it and warns once.
    """
    if not torch.cuda.is_available():
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = torch.ones(2, 2, device="cuda", requires_grad=True)
        (x @ x).sum().backward()
        torch.cuda.synchronize()


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    kept = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = kept

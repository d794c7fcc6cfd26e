"""Single precision is single precision: no TensorFloat-32 in the kernels that are compared."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    kept = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = kept

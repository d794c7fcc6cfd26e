"""Which processor this is, for kernels of ours that are faster than torch's on some alone.

Such a choice changes no answer but its rounding.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch


@cache
def runs_on_wide_amd() -> bool:
    """Whether this process runs on a processor as :func:`is_wide_amd` says."""
    if not hasattr(torch.cpu, "get_capabilities"):  # older releases of torch
        return False
    return is_wide_amd(torch.cpu.get_capabilities())


def is_wide_amd(processor: Mapping[str, Any]) -> bool:
    """Whether a processor is AMD's and has AVX-512, which its fourth generation brought.

    Args:
        processor: what `torch.cpu.get_capabilities()` says.
    """
    return "AMD" in processor.get("cpu_name", "") and processor.get("avx512_f", False)

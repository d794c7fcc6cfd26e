"""Processors on which kernels of ours take the place of torch's."""

from typing import Any

import pytest
import torch

from geodl.lowering import processor as processors
from geodl.lowering.processor import is_wide_amd, runs_on_wide_amd


@pytest.mark.parametrize(
    ("processor", "wide"),
    [
        ({"cpu_name": "AMD EPYC", "avx512_f": True}, True),
        ({"cpu_name": "AMD Ryzen 9 7950X", "avx512_f": True}, True),
        ({"cpu_name": "AMD EPYC 7763", "avx512_f": False}, False),
        ({"cpu_name": "Intel Xeon Platinum 8488C", "avx512_f": True}, False),
        ({"cpu_name": "Neoverse V1"}, False),
        ({}, False),
    ],
)
def test_processors(processor: dict[str, Any], wide: bool) -> None:
    assert is_wide_amd(processor) is wide


def test_torch_that_cannot_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    runs_on_wide_amd.cache_clear()
    try:
        assert not processors.runs_on_wide_amd()
    finally:
        runs_on_wide_amd.cache_clear()

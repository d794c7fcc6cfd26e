"""What a device spends on a call: seconds, new memory, and memory at its height."""

import ctypes
import resource
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from geodl.errors import GeodlError

CPU = torch.device("cpu")
Call = Callable[[], Any]


class Meter(ABC):
    """Measures calls on one device."""

    @abstractmethod
    def name(self) -> str:
        """The device, for people who compare numbers."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until the device has done all that it was given."""

    @abstractmethod
    def requests(self) -> int:
        """How often memory was taken from the system until now."""

    @abstractmethod
    def peak(self, call: Call) -> int | None:
        """Bytes that a call needs at its height, above what was in use before; None where nobody
        counts them.
        """

    def timed(self, call: Call, repeats: int) -> tuple[float, float]:
        """Seconds and requests for memory of one call, as the mean over repeats."""
        # A GPU works on while Python goes ahead. Both ends wait for it, so that the time holds all
        # of these calls and nothing of what was launched before.
        self.synchronize()
        requests, start = self.requests(), time.perf_counter()
        for _ in range(repeats):
            call()
        self.synchronize()
        seconds = time.perf_counter() - start
        return seconds / repeats, (self.requests() - requests) / repeats


class CpuMeter(Meter):
    """Requests are minor page faults: each one is a page that the system had to map."""

    def name(self) -> str:
        return "cpu"

    def synchronize(self) -> None:
        """Nothing to wait for: a call returns when it is done."""

    def requests(self) -> int:
        """Page faults of this process and of those it has waited for."""
        both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(resource.getrusage(who).ru_minflt for who in both)

    def peak(self, call: Call) -> int | None:
        """The high-water mark of resident memory, which Linux lets a process reset."""
        try:
            # Memory kept from earlier calls would hide what this one needs.
            ctypes.CDLL(None).malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")
        except (OSError, AttributeError):
            return None
        before = _resident("VmRSS")
        call()
        return _resident("VmHWM") - before


class CudaMeter(Meter):
    """Requests are segments that torch's caching allocator takes from the device by `cudaMalloc`.

    Args:
        device: a CUDA device.
    """

    def __init__(self, device: torch.device):
        self.device = device

    def name(self) -> str:
        return torch.cuda.get_device_name(self.device)

    def synchronize(self) -> None:
        torch.cuda.synchronize(self.device)

    def requests(self) -> int:
        # The statistics are empty until the allocator was first used.
        return torch.cuda.memory_stats(self.device).get("segment.all.allocated", 0)

    def peak(self, call: Call) -> int | None:
        """The allocator's own high-water mark: what tensors take, without what it keeps for
        later.
        """
        self.synchronize()
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        call()
        self.synchronize()
        return torch.cuda.max_memory_allocated(self.device) - before


def meter_of(device: torch.device) -> Meter:
    """The meter of a CPU or of a CUDA device."""
    return CpuMeter() if device.type == "cpu" else CudaMeter(device)


def check_device(device: Any) -> torch.device:
    """The device of that name, if rows can be timed on it.

    Raises:
        GeodlError: if it does not name a device, if the device is neither a CPU nor a CUDA GPU, or
            if that GPU is not there.

    >>> check_device("cpu")
    device(type='cpu')
    """
    asked, do = f"a benchmark on {device!r}", 'give "cpu", "cuda" or "cuda:1"'
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise GeodlError(asked, "no name of a device", do) from error
    if found.type not in ("cpu", "cuda"):
        raise GeodlError(asked, f"a device of the kind {found.type!r}", do)
    if found.type == "cpu":
        return CPU
    count = torch.cuda.device_count()
    if not torch.cuda.is_available() or (found.index or 0) >= count:
        raise GeodlError(asked, f"{count} CUDA devices in this torch and this machine", do)
    return torch.device("cuda", found.index or 0)


def _resident(name: str) -> int:
    """A number of bytes from Linux's account of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}:")]
    return 1024 * int(line.split()[1])

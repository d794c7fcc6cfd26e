"""What the harness does on a GPU, on a machine that has none: the order of waiting and reading the
clock, the allocator's counters, and rows whose tensors are all on the device that was asked for.
"""

import itertools

import pytest
import torch

from geodl import GeodlError, bench
from geodl.bench import meter
from geodl.bench.harness import Case, Effort, Side, compare, full_precision, measured
from geodl.bench.meter import CPU, CpuMeter, CudaMeter, check_device, meter_of
from geodl.bench.report import table
from tests.test_bench import TINY

ONCE = Effort(seconds=0, least=2, most=2)
GPU = torch.device("cuda", 0)


class FakeGpu:
    """torch.cuda of a device whose calls are done only when somebody waits for them.

    Attributes:
        seconds: its clock.
        pending: seconds of work that was launched and is not done.
        events: what was asked of it, in order.
    """

    def __init__(self):
        self.seconds, self.pending, self.segments = 100.0, 0.0, 5
        self.bytes, self.highest = 1 << 20, 1 << 20
        self.events = []

    def launch(self, seconds, megabytes=0):
        self.events.append("launch")
        self.pending += seconds
        self.segments += megabytes > 0
        self.highest = max(self.highest, self.bytes + (megabytes << 20))

    def synchronize(self, device):
        assert device == GPU
        self.events.append("wait")
        self.seconds += self.pending
        self.pending = 0.0

    def perf_counter(self):
        self.events.append("clock")
        return self.seconds

    def reset_peak_memory_stats(self, device):
        self.highest = self.bytes


@pytest.fixture
def gpu(monkeypatch):
    fake = FakeGpu()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Fake 100")
    monkeypatch.setattr(torch.cuda, "synchronize", fake.synchronize)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", fake.reset_peak_memory_stats)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: fake.bytes)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: fake.highest)
    monkeypatch.setattr(
        torch.cuda, "memory_stats", lambda device: {"segment.all.allocated": fake.segments}
    )
    monkeypatch.setattr(meter.time, "perf_counter", fake.perf_counter)
    return fake


def test_time_on_a_gpu_is_that_of_its_own_calls_to_their_end(gpu):
    gpu.launch(50.0)  # somebody else's work
    seconds, requests = CudaMeter(GPU).timed(lambda: gpu.launch(3.0, megabytes=1), 4)
    assert (seconds, requests) == (3.0, 1.0)
    assert gpu.events == ["launch", "wait", "clock", *["launch"] * 4, "wait", "clock"]


def test_peak_memory_on_a_gpu_is_the_allocators(gpu):
    gpu.launch(0.0, megabytes=64)
    assert CudaMeter(GPU).peak(lambda: gpu.launch(1.0, megabytes=8)) == 8 << 20
    assert CudaMeter(GPU).name() == "Fake 100"


def test_nothing_is_allocated_before_the_first_use(gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda device: {})
    assert CudaMeter(GPU).requests() == 0


def test_a_gpu_has_ratios_and_no_targets(gpu, monkeypatch):
    sides = [
        Side(lambda s=s, m=m: gpu.launch(s, m), lambda: [torch.ones(1)])
        for s, m in ((2e-3, 4), (1e-3, 2))
    ]
    case = Case("sum", "peer", *sides, reach=0.5, memory_reach=0.1)
    (row,) = measured("a", [case], ONCE, GPU)
    assert (row.ours_ms, row.peer_ms, row.ratio) == pytest.approx((2.0, 1.0, 2.0))
    assert (row.device, row.reach, row.reached) == ("Fake 100", None, True)
    assert (row.our_faults, row.peer_faults) == (1.0, 1.0)
    assert row.note == "peak memory 4 of 2 MB: 2.00, at most 0.10"
    assert table([row]).endswith(
        "0 of 0 targets reached; timed on Fake 100, where there are no targets"
    )
    assert "timed on" not in table([row._replace(device="cpu")])


def test_what_cannot_be_timed_on_a_gpu_is_not_reached(gpu):
    (row,) = measured("a", [Case("sum", "peer", missing="no peer")], ONCE, GPU)
    assert (row.device, row.reached, row.note) == ("Fake 100", False, "not timed: no peer")


def test_rows_are_made_on_the_device_and_timed_once(gpu, monkeypatch):
    asked = []

    def cases(sizes=None, device=CPU):
        asked.append(device)
        side = Side(lambda: gpu.launch(1e-3), lambda: [torch.ones(1)])
        return iter([Case("sum", "peer", side, side)])

    monkeypatch.setattr(bench, "ROWS", {"a": cases})
    monkeypatch.setattr(bench, "trimming_off", lambda name: pytest.fail("no malloc on a GPU"))
    (row,) = bench.run(["a"], device="cuda")
    assert asked == [GPU] and row.ratio_trimming_off is None


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("cdua", "no name of a device"),
        (3.5, "no name of a device"),
        ("meta", "a device of the kind 'meta'"),
        ("cuda:7", "2 CUDA devices"),
    ],
)
def test_a_device_that_is_not_there_is_refused(gpu, device, words):
    with pytest.raises(GeodlError, match=words):
        bench.run(["lstm"], device=device)


def test_devices_by_name(gpu):
    assert check_device("cpu") == check_device(CPU) == CPU
    assert check_device("cuda") == GPU and check_device("cuda:1") == torch.device("cuda", 1)
    assert isinstance(meter_of(CPU), CpuMeter) and isinstance(meter_of(GPU), CudaMeter)


def test_without_a_gpu_cuda_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(GeodlError, match="'cuda'.*0 CUDA devices"):
        bench.run(["lstm"], device="cuda")


def test_answers_are_compared_in_full_precision_and_timed_as_users_run():
    seen = []
    before = torch.backends.cudnn.allow_tf32

    def answer():
        seen.append(torch.backends.cudnn.allow_tf32)
        return [torch.ones(1)]

    side = Side(lambda: seen.append(torch.backends.cudnn.allow_tf32), answer)
    compare(Case("sum", "peer", side, side), ONCE)
    assert seen[:2] == [False, False] and set(seen[2:]) == {before}
    with pytest.raises(RuntimeError, match="out of order"), full_precision():
        raise RuntimeError("out of order")
    assert torch.backends.cudnn.allow_tf32 == before


# Cases of these rows need no numbers to be planned: as many of each as run on tensors without any.
WITHOUT_NUMBERS = {"conv2d": 4, "deepsets": 2, "attention": 4, "gpt": 1, "lstm": 1, "overhead": 1}


@pytest.mark.parametrize("name", WITHOUT_NUMBERS)
def test_all_tensors_of_a_row_are_on_the_device(name):
    meta = torch.device("meta")
    cases = list(itertools.islice(TINY[name](device=meta), WITHOUT_NUMBERS[name]))
    assert len(cases) == WITHOUT_NUMBERS[name]
    for case in cases:
        for side in (case.ours, case.theirs):
            side.call()
            assert [tensor.device for tensor in side.answer()] == [meta] * len(side.answer())


def test_every_row_takes_a_device():
    for cases in bench.ROWS.values():
        assert cases.__defaults__[-1] == CPU and cases.__code__.co_varnames[:2] == (
            "sizes",
            "device",
        )

"""Two sides of one comparison, timed in turn once they are known to compute the same thing."""

import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from geodl.bench.meter import CPU, Meter, meter_of
from geodl.errors import GeodlError

SAME = 1e-4
MANY = 10_000  # numbers of an answer, of which one may differ
WORTH_TIMING = 2e-3  # seconds: shorter calls are timed several at once
DGL_INSTALL = "pip install --no-deps dgl==1.1.3"
PEER_INSTALL = "pip install --no-deps escnn lie_learn joblib pymanopt autograd"


class BenchRow(NamedTuple):
    """One comparison as it was measured.

    Attributes:
        row: the name of the benchmark.
        case: what was computed.
        peer: what it is compared with.
        ours_ms: median milliseconds of our side; None when the case could not be timed, as for all
            numbers here.
        peer_ms: median milliseconds of the peer.
        ratio: ours / peer with the allocator as it is.
        ratio_trimming_off: the same in a process whose allocator returns no memory to the system;
            None on a GPU.
        reach: the largest ratio that is good enough; None where nothing is asked, as on a GPU.
        our_faults: how often a call of ours takes memory from the system: minor page faults on the
            CPU, segments of the caching allocator on a GPU.
        peer_faults: the same for the peer.
        reached: timed, and within reach where there is one.
        note: what else there is to know, or why nothing was timed.
        device: where it ran: "cpu", or the name of the GPU.
    """

    row: str
    case: str
    peer: str
    ours_ms: float | None = None
    peer_ms: float | None = None
    ratio: float | None = None
    ratio_trimming_off: float | None = None
    reach: float | None = None
    our_faults: float | None = None
    peer_faults: float | None = None
    reached: bool = False
    note: str = ""
    device: str = "cpu"


class Side(NamedTuple):
    """One way to compute a thing.

    Attributes:
        call: what is timed.
        answer: the tensors that both sides must agree on, in a layout that both share.
    """

    call: Callable[[], Any]
    answer: Callable[[], Sequence[Tensor]]


class Case(NamedTuple):
    """Two sides, and how fast ours should be on a CPU: `ours <= reach * peer`, or at most
    `added_us` microseconds more than the peer.

    Attributes:
        name: what is computed.
        peer: who else computes it.
        ours: our side.
        theirs: the peer's side.
        reach: the largest ratio wanted, None where nothing is asked.
        added_us: the most microseconds that a call may add, in place of a ratio.
        note: what else there is to know.
        memory_reach: the largest ratio of peak memory wanted, None where it is not measured.
        within: how far answers of fewer than 10,000 numbers may lie apart, as a share of the
            largest of them, and of 1 where that is smaller. Others are held to 1e-4, but for one
            number in 10,000.
        missing: why this cannot be timed here; the sides are then not looked at.
    """

    name: str
    peer: str
    ours: Side | None = None
    theirs: Side | None = None
    reach: float | None = None
    added_us: float | None = None
    note: str = ""
    memory_reach: float | None = None
    within: float = SAME
    missing: str = ""


class Effort(NamedTuple):
    """How long to measure: at least `least` rounds, then until `seconds` have passed or `most`
    rounds are done.
    """

    seconds: float = 4.0
    least: int = 7
    most: int = 200


USUAL = Effort()


def measured(
    row: str, cases: Iterable[Case], effort: Effort = USUAL, device: torch.device = CPU
) -> Iterator[BenchRow]:
    """Each case as a row. One that cannot be timed says why, and the others are timed all the same.

    Args:
        row: the benchmark's name.
        cases: made one by one, so that each may free its memory before the next.
        effort: how long to measure.
        device: where the cases run.
    """
    remaining, meter = iter(cases), meter_of(device)
    while True:
        case = Case("", "")
        try:
            case = next(remaining)
            found = compare(case, effort, device)
        except StopIteration:
            return
        except Exception as error:
            found = _not_timed(case, str(error))._replace(case=case.name or row)
        yield found._replace(row=row, device=meter.name())


def _not_timed(case: Case, reason: str) -> BenchRow:
    return BenchRow("", case.name, case.peer, reach=case.reach, note=f"not timed: {reason}")


def compare(case: Case, effort: Effort = USUAL, device: torch.device = CPU) -> BenchRow:
    """Check that both sides give the same numbers, then call them in turn and take the medians.

    Raises:
        GeodlError: if the two sides differ by more than the case allows; nothing is timed then.
    """
    if case.missing or case.ours is None or case.theirs is None:
        return _not_timed(case, case.missing)
    with full_precision():
        hold_same(case.name, case.ours.answer(), case.theirs.answer(), case.within)
    meter = meter_of(device)
    sides = [case.ours.call, case.theirs.call]
    (our_seconds, their_seconds), faults = _alternating(sides, effort, meter)
    ours, theirs = 1000 * statistics.median(our_seconds), 1000 * statistics.median(their_seconds)
    our_faults, peer_faults = (round(statistics.median(counts), 1) for counts in faults)
    reach, notes = case.reach, [case.note]
    if case.added_us is not None:
        reach = 1 + case.added_us / (1000 * theirs)
        added = f"adds {1000 * (ours - theirs):.0f} us a call"
        notes.insert(0, f"{added}, at most {case.added_us:.0f}")
    within_memory = True
    if case.memory_reach is not None:
        within_memory, said = _compare_memory(sides, case.memory_reach, meter)
        notes.append(said)
    ratio = ours / theirs
    reached = within_memory and (reach is None or ratio <= reach)
    if device.type != "cpu":
        # The targets are those of CPUs: on a GPU there is nothing to reach yet.
        reach, reached = None, True
    note = "; ".join(filter(None, notes))
    times = (ours, theirs, ratio, None, reach)
    return BenchRow("", case.name, case.peer, *times, our_faults, peer_faults, reached, note)


def hold_same(
    name: str, ours: Sequence[Tensor], theirs: Sequence[Tensor], within: float = SAME
) -> None:
    """Refuse sides that answer differently, or with nothing that could differ."""
    asked = f"timing {name}"
    if not len(ours) == len(theirs) > 0:
        found = f"{len(ours)} answers and {len(theirs)}"
        raise GeodlError(asked, found, "give each side the same answers")
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a.shape != b.shape:
            found = f"answers {k} of shapes {list(a.shape)} and {list(b.shape)}"
            raise GeodlError(asked, found, "lay them out alike")
        a, b = a.detach(), b.detach()
        apart = _apart(a, b) / max(1.0, float(b.abs().max()))
        allowed = SAME
        if a.numel() < MANY:
            allowed = within
        if not apart <= allowed:
            found = f"answers {k} that differ by {apart:.1e}"
            raise GeodlError(asked, found, "time only what computes the same")


def _apart(a: Tensor, b: Tensor) -> float:
    """The largest difference, but for one number in 10,000: where a score is zero but for rounding,
    or two values are equal but for it, the slope of a leaky ReLU or the place of a maximum is that
    of either side, and millions of edges have some.
    """
    differences = (a - b).abs().flatten()
    if not differences.isfinite().all():
        return math.nan
    passed = differences.numel() // MANY
    return float(differences.topk(passed + 1).values[-1])


@contextmanager
def full_precision() -> Iterator[None]:
    """Products in float32 throughout. By default cuDNN rounds to TF32, ten bits, for convolutions
    and recurrences, and two equal computations would differ by 1e-3; timing keeps the default.
    """
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def step(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], upstream: Tensor
) -> Callable[[], tuple[Tensor, ...]]:
    """Forward and backward as one call: the output, then the gradient of each input (parameters are
    inputs too).
    """
    leaves = [t for t in inputs if t.requires_grad]

    def call() -> tuple[Tensor, ...]:
        y = function()
        return y, *torch.autograd.grad(y, leaves, upstream)

    return call


def leaf(*shape: int, device: torch.device) -> Tensor:
    """A random input that wants a gradient."""
    return torch.randn(*shape, device=device, requires_grad=True)


def heads_first(x: Tensor) -> Tensor:
    """`[B, N, H, D]` as torch's attention takes it, `[B, H, N, D]` in a block of its own."""
    return x.detach().transpose(1, 2).contiguous()


def _compare_memory(
    sides: Sequence[Callable[[], Any]], reach: float, meter: Meter
) -> tuple[bool, str]:
    """Whether our side needs at most that share of the peer's peak memory, in words too."""
    ours, theirs = (meter.peak(side) for side in sides)
    if ours is None or theirs is None:
        return False, "peak memory cannot be measured here"
    ratio = ours / max(1, theirs)
    said = f"peak memory {ours >> 20} of {theirs >> 20} MB: {ratio:.2f}, at most {reach:.2f}"
    return ratio <= reach, said


def _alternating(
    sides: Sequence[Callable[[], Any]], effort: Effort, meter: Meter
) -> tuple[list[list[float]], list[list[float]]]:
    """Seconds and page faults of one call in each round, for each side. The side that begins
    changes from round to round, because the second finds warmer caches.
    """
    repeats = [_repeats_worth_timing(side, meter) for side in sides]
    times: list[list[float]] = [[] for _ in sides]
    faults: list[list[float]] = [[] for _ in sides]
    order = list(range(len(sides)))
    start = time.perf_counter()
    for turn in range(effort.most):
        for k in order:
            seconds, count = meter.timed(sides[k], repeats[k])
            times[k].append(seconds)
            faults[k].append(count)
        order.reverse()
        if turn + 1 >= effort.least and time.perf_counter() - start > effort.seconds:
            break
    return times, faults


def _repeats_worth_timing(side: Callable[[], Any], meter: Meter) -> int:
    """How many calls take two milliseconds together; warms up on the way."""
    meter.timed(side, 1)
    seconds, _ = meter.timed(side, 2)
    return max(1, min(1000, int(WORTH_TIMING / seconds)))

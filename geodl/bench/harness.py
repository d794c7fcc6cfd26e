"""Two sides of one comparison, timed in turn once they are known to compute the same thing."""

import ctypes
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from geodl.errors import GeodlError

SAME = 1e-4
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
        ratio_trimming_off: the same in a process whose allocator returns no memory to the system.
        reach: the largest ratio that is good enough; None where nothing is asked.
        our_faults: minor page faults of a call.
        peer_faults: those of the peer's.
        reached: timed, and within reach where there is one.
        note: what else there is to know, or why nothing was timed.
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


class Side(NamedTuple):
    """One way to compute a thing.

    Attributes:
        call: what is timed.
        answer: the tensors that both sides must agree on, in a layout both share.
    """

    call: Callable[[], Any]
    answer: Callable[[], Sequence[Tensor]]


class Case(NamedTuple):
    """Two sides, and how fast ours should be: `ours <= reach * peer`, or at most `added_us`
    microseconds more than the peer.

    Attributes:
        name: what is computed.
        peer: who else computes it.
        ours: our side.
        theirs: the peer's side.
        reach: the largest ratio wanted, None where nothing is asked.
        added_us: the most microseconds that a call may add, in place of a ratio.
        note: what else there is to know.
        memory_reach: the largest ratio of peak memory wanted, None where it is not measured.
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
    missing: str = ""


class Effort(NamedTuple):
    """How long to measure: at least `least` rounds, then until `seconds` have passed or `most`
    rounds are done.
    """

    seconds: float = 4.0
    least: int = 7
    most: int = 200


USUAL = Effort()


def measured(row: str, cases: Iterable[Case], effort: Effort = USUAL) -> Iterator[BenchRow]:
    """Each case as a row; one that cannot be timed says why and stops no other.

    Args:
        row: the benchmark's name.
        cases: made one by one, so that each may free its memory before the next.
        effort: how long to measure.
    """
    made = iter(cases)
    while True:
        case = Case("", "")
        try:
            case = next(made)
            found = compare(case, effort)
        except StopIteration:
            return
        except Exception as error:
            found = BenchRow(
                case.name, case.name, case.peer, reach=case.reach, note=f"not timed: {error}"
            )
        yield found._replace(row=row)


def compare(case: Case, effort: Effort = USUAL) -> BenchRow:
    """Check that both sides answer alike, then call them in turn and take the medians.

    Raises:
        GeodlError: sides that differ by more than 1e-4; nothing is timed then.
    """
    if case.missing or case.ours is None or case.theirs is None:
        return BenchRow(
            "", case.name, case.peer, reach=case.reach, note=f"not timed: {case.missing}"
        )
    hold_same(case.name, case.ours.answer(), case.theirs.answer())
    sides = [case.ours.call, case.theirs.call]
    times, faults = _alternating(sides, effort)
    ours, theirs = (1000 * statistics.median(t) for t in times)
    reach, note = case.reach, case.note
    if case.added_us is not None:
        reach = 1 + case.added_us / (1000 * theirs)
        note = f"adds {1000 * (ours - theirs):.0f} us a call, at most {case.added_us:.0f}" + (
            f"; {note}" if note else ""
        )
    ratio = ours / theirs
    our_faults, peer_faults = (round(statistics.median(f), 1) for f in faults)
    good = reach is None or ratio <= reach
    if case.memory_reach is not None:
        lean, said = _lean(sides, case.memory_reach)
        good, note = good and lean, f"{note}; {said}" if note else said
    return BenchRow(
        "",
        case.name,
        case.peer,
        ours,
        theirs,
        ratio,
        None,
        reach,
        our_faults,
        peer_faults,
        good,
        note,
    )


def hold_same(name: str, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    """Refuse sides that answer differently, or with nothing that could differ."""
    if not len(ours) == len(theirs) > 0:
        raise GeodlError(
            f"timing {name}",
            f"{len(ours)} answers and {len(theirs)}",
            "give each side the same answers",
        )
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a.shape != b.shape:
            raise GeodlError(
                f"timing {name}",
                f"answers {k} of shapes {list(a.shape)} and {list(b.shape)}",
                "lay them out alike",
            )
        apart = float((a - b).detach().abs().max()) / max(1.0, float(b.detach().abs().max()))
        if not apart <= SAME:
            raise GeodlError(
                f"timing {name}",
                f"answers {k} that differ by {apart:.1e}",
                "time only what computes the same",
            )


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


def device() -> torch.device:
    """Where rows run: on the accelerator where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def peak(call: Callable[[], Any]) -> int | None:
    """Bytes that a call needs at its height, above what was in use before; None where nobody counts
    them.
    """
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    try:
        ctypes.CDLL(None).malloc_trim(
            0
        )  # what was kept of earlier calls would hide what this one needs
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        return None
    before = _resident("VmRSS")
    call()
    return _resident("VmHWM") - before


def _resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def _lean(sides: Sequence[Callable[[], Any]], reach: float) -> tuple[bool, str]:
    """Whether our side needs at most that share of the peer's peak memory, in words too."""
    ours, theirs = (peak(side) for side in sides)
    if ours is None or theirs is None:
        return False, "peak memory cannot be measured here"
    ratio = ours / max(1, theirs)
    return (
        ratio <= reach,
        f"peak memory {ours >> 20} of {theirs >> 20} MB: {ratio:.2f}, at most {reach:.2f}",
    )


def _alternating(
    sides: Sequence[Callable[[], Any]], effort: Effort
) -> tuple[list[list[float]], list[list[float]]]:
    """Seconds and page faults of one call in each round, for each side; who begins changes from
    round to round.
    """
    inner = [_calls_worth_timing(side) for side in sides]
    times: list[list[float]] = [[] for _ in sides]
    faults: list[list[float]] = [[] for _ in sides]
    began = time.perf_counter()
    for turn in range(effort.most):
        for k in (range(len(sides)), reversed(range(len(sides))))[turn % 2]:
            seconds, count = _timed(sides[k], inner[k])
            times[k].append(seconds)
            faults[k].append(count)
        if turn + 1 >= effort.least and time.perf_counter() - began > effort.seconds:
            break
    return times, faults


def _calls_worth_timing(side: Callable[[], Any]) -> int:
    """How many calls take two milliseconds together; warms up on the way."""
    _timed(side, 1)
    seconds, _ = _timed(side, 2)
    return max(1, min(1000, int(2e-3 / seconds)))


def _timed(side: Callable[[], Any], calls: int) -> tuple[float, float]:
    """Seconds and page faults of one call, over some."""
    before, began = _faults(), time.perf_counter()
    for _ in range(calls):
        side()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / calls, (_faults() - before) / calls


def _faults() -> int:
    """Minor page faults of this process and of those it has waited for."""
    return sum(
        resource.getrusage(who).ru_minflt
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )

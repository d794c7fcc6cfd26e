"""The tour: everything once, on embedded data, with a page of numbers and pictures at the end."""

import time
from collections.abc import Callable
from pathlib import Path

import torch

from geodl.files import in_words, new_folder, write_text
from geodl.tour import stops
from geodl.tour.folder import check_free
from geodl.tour.page import INDEX, Stop, html, text

DEFAULT = Path("geodl-tour")
DO = "choose a folder that can be written and has room"


def run(
    folder: Path = DEFAULT,
    *,
    progress: Callable[[str], object] | None = None,
    digits_epochs: int = 15,
    karate_epochs: int = 100,
) -> int:
    """Run all stops, print what they found, and write pictures and a summary page into a folder.

    The folder appears whole at the end or not at all; an earlier tour in it is replaced. Seeds are
    fixed, and the random state of the caller is as before.

    Args:
        folder: where to write; its parent exists.
        progress: called with each line of the report as it is known; None prints it.
        digits_epochs: passes over the 997 training digits, for each of the two networks.
        karate_epochs: steps on the karate club.

    Returns:
        0 when everything that must be exact was exact, else 1: an exit status.

    Raises:
        GeodlError: if the folder cannot be written, or holds files that are not a tour's.

    >>> import geodl.tour
    >>> geodl.tour.run("my-tour")  # doctest: +SKIP
    """
    say = _print if progress is None else progress
    place = Path(folder).resolve()
    check_free(place)
    route: list[tuple[str, Callable[[], Stop]]] = [
        ("One layer on five domains", stops.five_domains),
        ("A rotation does not confuse a p4 CNN", lambda: stops.rotated_digits(digits_epochs, say)),
        ("A graph network in the karate club", lambda: stops.karate_club(karate_epochs)),
        ("A Transformer is a graph network", stops.transformer),
        ("Which pairs of nodes share a weight", stops.weight_tying),
    ]
    start, seen = time.perf_counter(), []
    with new_folder(place, do=DO) as building, torch.random.fork_rng(devices=[]):
        for k, (title, visit) in enumerate(route, start=1):
            say(f"[{k}/{len(route)}] {title}")
            stop, seconds = _visit(visit, building)
            say(f"{text(stop)}\n      {seconds:.1f} s\n")
            seen.append((title, stop, seconds))
        write_text(building / INDEX, html(seen), do=DO)
        check_free(place)
    failed = [title for title, stop, _ in seen if not stop.holds]
    verdict = "everything that must be exact was"
    if failed:
        verdict = f"NOT exact: {', '.join(failed)}"
    say(f"{verdict}; {time.perf_counter() - start:.0f} s in all")
    say(f"summary with pictures: {place / INDEX}")
    return 1 if failed else 0


def _visit(visit: Callable[[], Stop], building: Path) -> tuple[Stop, float]:
    """Run a stop and save its pictures; what it found, and the seconds that took."""
    start = time.perf_counter()
    torch.manual_seed(0)
    stop = visit()
    for picture in stop.pictures:
        with in_words(f"to draw {picture.file}", DO):
            picture.figure.savefig(building / picture.file, dpi=120, bbox_inches="tight")
    return stop, time.perf_counter() - start


def _print(line: str) -> None:
    print(line, flush=True)

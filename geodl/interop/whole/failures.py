"""Why a model could not be followed, in words."""

import linecache
import re
import traceback
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import torch


def failure_in_words(tool: str, error: Exception) -> str:
    """Why a tool could not follow a model, in one line: its words, where in the model's code, and
    what to do.
    """
    words = " ".join(str(error).split())
    said = f"{tool}: {words[:200]}{place_of(error)}"
    if "control flow" in words:
        said += "; write torch.where(...) in place of a branch on values"
    return said


def place_of(error: Exception) -> str:
    """The last line of a model's own code that an error came through; "" where none is known."""
    steps = traceback.extract_tb(error.__traceback__)
    for step in reversed(steps):
        if _is_own(step.filename) and step.line:
            return str(Place(step.filename, step.lineno or 0))
    return ""


class Place(NamedTuple):
    """A line of a model's own code.

    Attributes:
        file: its path.
        line: its number.
    """

    file: str
    line: int

    def __str__(self) -> str:
        said = linecache.getline(self.file, self.line).strip()
        return f", at {Path(self.file).name}, line {self.line}: {said}"


def place_in(frame: FrameType | None) -> Place | None:
    """The innermost line of a model's own code that a frame was called from."""
    while frame is not None:
        if _is_own(frame.f_code.co_filename):
            return Place(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return None


def last_place(lines: str) -> Place | None:
    """The last line of a model's own code in a traceback that is written out."""
    found = [Place(file, int(number)) for file, number in STEP.findall(lines)]
    return next((one for one in reversed(found) if _is_own(one.file)), None)


STEP = re.compile(r'File "([^"]+)", line (\d+)')


def _is_own(file: str) -> bool:
    return not file.startswith(HOMES)


# Where code is not the model's own: torch and this package.
HOMES = (str(Path(torch.__file__).parent), str(Path(__file__).parents[2]), "<")

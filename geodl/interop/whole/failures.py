"""Why a model could not be followed, in words."""

import traceback
from pathlib import Path

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
        if not any(step.filename.startswith(home) for home in HOMES) and step.line:
            return f", at {Path(step.filename).name}, line {step.lineno}: {step.line}"
    return ""


# Where code is not the model's own: torch and this package.
HOMES = (str(Path(torch.__file__).parent), str(Path(__file__).parents[2]), "<")

"""Checkpoints: written whole, read with suspicion, and refused where they are another run's."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from torch import Tensor

from geodl.errors import GeodlError
from geodl.files import in_words, new_file

# What Lightning's trainer writes and asks for again.
PARTS = {
    "callbacks",
    "epoch",
    "global_step",
    "loops",
    "lr_schedulers",
    "optimizer_states",
    "pytorch-lightning_version",
    "state_dict",
}
# What is empty in no checkpoint of ours; Lightning would begin it anew without a word.
FILLED = ("callbacks", "loops", "optimizer_states", "state_dict")
DIVERGED = "lower optimizer.lr or set optimizer.clip in a new run"


@final
class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoints, written beside the target and renamed.

    Lightning itself writes to the temporary folder and moves: a copy where that is on another file
    system, so that a full disk or a kill leaves half a checkpoint.

    Args:
        do: the advice where one cannot be written.
    """

    def __init__(self, do: str):
        self.do = do

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint, whole or not at all.

        Raises:
            GeodlError: if the disk is full, or the folder is gone or cannot be written.
        """
        # In memory first: torch's own file writer hides the system's reason in a RuntimeError.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with in_words(f"to write {path}", self.do), new_file(Path(path)) as unfinished:
            unfinished.write_bytes(content.getbuffer())


def read_checkpoint(path: Path, do: str) -> dict[str, Any]:
    """What a checkpoint of Lightning's holds, on the CPU.

    Args:
        path: the file.
        do: the advice where it is none.

    Raises:
        GeodlError: if the file is not there, cannot be read, or holds something else; if a part of
            it is empty that a run always fills.
    """
    asked = f"to continue from {path}"
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Unpickling a file that is something else can fail in any way.
        raise GeodlError(asked, f"no checkpoint ({type(error).__name__})", do) from error
    if not isinstance(found, dict):
        raise GeodlError(asked, f"no checkpoint, but a {type(found).__name__}", do)
    missing = sorted(PARTS - found.keys())
    if missing:
        raise GeodlError(asked, f"no checkpoint of a run: it has no {missing[0]}", do)
    state = found["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(x, Tensor) for x in state.values()):
        raise GeodlError(asked, "no checkpoint of a run: its state_dict holds no weights", do)
    for part in FILLED:
        if not found[part]:
            raise GeodlError(asked, f"no checkpoint of a run: an empty {part}", do)
    if found["global_step"] and not _has_moments(found["optimizer_states"]):
        raise GeodlError(asked, "no checkpoint of a run: an optimizer without moments", do)
    return found


def _has_moments(states: Any) -> bool:
    """Whether every optimizer has kept something of its parameters, as all do that took a step."""
    if not isinstance(states, list):
        return False
    return all(not isinstance(state, dict) or state.get("state") for state in states)


def check_mark(checkpoint: Mapping[str, Any], mark: Mapping[str, str]) -> None:
    """Refuse a checkpoint that bears another mark: what differs is named.

    >>> mark = {"recipe": "a", "vocabulary target": "34cd"}
    >>> check_mark({"geodl": {"recipe": "a", "vocabulary target": "12ab"}}, mark)
    Traceback (most recent call last):
    geodl.errors.GeodlError: the weights of a with the vocabulary target 34cd: found a checkpoint
    with 12ab; ...
    """
    asked = f"to continue {dict(mark)}"
    do = "resume from the folder of this very run"
    theirs = checkpoint.get("geodl")
    if not isinstance(theirs, dict):
        raise GeodlError(asked, "a checkpoint of something else", do)
    if theirs.get("recipe") == mark.get("recipe"):
        _check_vocabularies(theirs, mark)
    if theirs != dict(mark):
        raise GeodlError(asked, f"a checkpoint of {theirs}", do)


def _check_vocabularies(theirs: Mapping[str, Any], mark: Mapping[str, str]) -> None:
    for name in sorted(mark.keys() | theirs.keys()):
        ours, other = mark.get(name, "none"), theirs.get(name, "none")
        if name.startswith("vocabulary") and ours != other:
            asked = f"the weights of {mark.get('recipe')} with the {name} {ours}"
            do = "use the vocabulary that it was trained with"
            raise GeodlError(asked, f"a checkpoint with {other}", do)


def check_shapes(theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor], asked: str) -> None:
    """Refuse weights that are not those of a model, by the name of the first that differs.

    Args:
        theirs: the weights that are to be copied.
        ours: the weights of the model.
        asked: what they are to be copied for, the beginning of the message.
    """
    for name in sorted(theirs.keys() | ours.keys()):
        shapes = []
        for state in (theirs, ours):
            shape = "none"
            if name in state:
                shape = tuple(state[name].shape)
            shapes.append(shape)
        found, wanted = shapes
        do = "resume with the options the run was started with"
        if found != wanted:
            differs = f"{name} of shape {found} where the model has {wanted}"
            raise GeodlError(asked, differs, do)
        # A copy would cast them: numbers of tokens are not weights. Precisions may differ.
        if theirs[name].is_floating_point() != ours[name].is_floating_point():
            differs = f"{name} of {theirs[name].dtype} where the model has {ours[name].dtype}"
            raise GeodlError(asked, differs, do)


def check_finite(loss: Tensor, when: str, kept: str = "") -> None:
    """Refuse a loss that is NaN or infinite.

    Args:
        loss: one number.
        when: where it came about, as "seed-0, epoch 3, step 57".
        kept: the last checkpoint before it, "" where none was written.
    """
    if not torch.isfinite(loss):
        raise GeodlError(f"the loss of {when}", f"{float(loss)}", _after_diverging(kept))


def check_weights(state: Mapping[str, Tensor], when: str, kept: str = "") -> None:
    """Refuse weights that are NaN or infinite, by the name of the first: a checkpoint of them would
    take the place of the last good one.

    Args:
        state: the weights by name.
        when: as in :func:`check_finite`.
        kept: as in :func:`check_finite`.
    """
    for name, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            found = f"{name} that is not finite"
            raise GeodlError(f"the weights of {when}", found, _after_diverging(kept))


def _after_diverging(kept: str) -> str:
    """What to do about a run whose numbers are not finite, and what is left of it."""
    if not kept:
        return f"{DIVERGED}; no checkpoint was written before it"
    return f"{DIVERGED}; the last checkpoint before it stays: {kept}"

"""The boxes that a detector finds after each epoch, to see how it learnt."""

from typing import Any, NamedTuple, final

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn

from geodl.data import Objects
from geodl.errors import GeodlError

WATCHED = 4  # the first validation scenes


class Epoch(NamedTuple):
    """What was found after an epoch, in each of the scenes that are watched."""

    number: int
    found: list[Objects]


@final
class EpochBoxes(Callback):
    """Keeps what was found in the first validation scenes after each epoch, as a part of each
    checkpoint: a run that is continued goes on from there.
    """

    def __init__(self):
        self.rows: list[dict[str, Any]] = []

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Keep the boxes, unless this is the evaluation at the end."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        scenes = []
        for objects in pl_module.found[:WATCHED]:
            scene = {name: value.tolist() for name, value in objects._asdict().items()}
            scenes.append(scene)
        self.rows.append({"epoch": trainer.current_epoch + 1, "scenes": scenes})

    def state_dict(self) -> dict[str, Any]:
        """The boxes so far, for a checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the boxes of a checkpoint."""
        self.rows = list(state_dict["rows"])


def boxes_of_epochs(checkpoint: dict[str, Any]) -> list[Epoch]:
    """What was found after each epoch, out of a checkpoint.

    Raises:
        GeodlError: if it holds no boxes.
    """
    rows = checkpoint["callbacks"].get(EpochBoxes.__name__, {}).get("rows", [])
    if not rows:
        raise GeodlError("the boxes of each epoch", "none in the checkpoint", "run the recipe anew")
    epochs = []
    for row in rows:
        found = []
        for scene in row["scenes"]:
            labels = torch.tensor(scene["labels"], dtype=torch.long)
            boxes = torch.tensor(scene["boxes"]).reshape(-1, 4)
            found.append(Objects(labels, boxes, torch.tensor(scene["scores"])))
        epochs.append(Epoch(row["epoch"], found))
    return epochs

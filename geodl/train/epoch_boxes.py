"""The boxes that a detector predicts after each epoch, for pictures of how it learnt."""

from typing import Any, NamedTuple, final

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn

from geodl.data import Objects
from geodl.errors import GeodlError

WATCHED = 4  # the number of validation scenes whose predictions are kept


class Epoch(NamedTuple):
    """The objects predicted after an epoch, in each of the first validation scenes."""

    number: int
    found: list[Objects]


@final
class EpochBoxes(Callback):
    """Keeps the objects predicted in the first validation scenes after each epoch, in the
    checkpoints, so that a continued run keeps those of earlier epochs.
    """

    def __init__(self):
        self.rows: list[dict[str, Any]] = []

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Keep the predicted objects, unless this is the evaluation at the end."""
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
    """The predicted objects of each epoch, from a checkpoint.

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

"""What was measured in each epoch, as a file that can be drawn while a run goes on."""

import csv
import io
from pathlib import Path
from typing import Any, final

import lightning as L
from lightning.pytorch.callbacks import Callback

from geodl.files import write_text

FILE = "metrics.csv"


@final
class EpochMetrics(Callback):
    """Keeps one row for each epoch: its number from 1 on, the steps of optimisers done, the
    training loss or losses, and what was validated.

    The rows are part of each checkpoint. A run that is continued goes on from those of the epochs
    that it keeps, so that each epoch stands in the file once, as if nothing had happened.

    Args:
        path: of the CSV file; it is written whole whenever a checkpoint is.
        every: after how many epochs that is.
        do: the advice where it cannot be written.
    """

    def __init__(self, path: Path, *, every: int, do: str):
        self.path = path
        self.every = every
        self.do = do
        self.rows: list[dict[str, float]] = []
        self.validated: dict[str, float] = {}

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember what was validated in this epoch: Lightning does not say later when it was."""
        for name, value in trainer.callback_metrics.items():
            if name.startswith("val/"):
                self.validated[name] = float(value)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add the row of an epoch; checkpoints are written after this."""
        row: dict[str, float] = {"epoch": trainer.current_epoch + 1, "step": trainer.global_step}
        for name, value in trainer.callback_metrics.items():
            if name.startswith("train/"):
                row[name] = float(value)
        self.rows.append(row | self.validated)
        self.validated = {}
        if (trainer.current_epoch + 1) % self.every == 0 and trainer.is_global_zero:
            self._write()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the rows of the last epochs."""
        if trainer.is_global_zero:
            self._write()

    def state_dict(self) -> dict[str, Any]:
        """The rows so far, for a checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the rows of a checkpoint."""
        self.rows = list(state_dict["rows"])

    def _write(self) -> None:
        columns: dict[str, None] = {}
        for row in self.rows:
            columns |= dict.fromkeys(row)
        text = io.StringIO()
        table = csv.DictWriter(text, list(columns), lineterminator="\n")
        table.writeheader()
        table.writerows(self.rows)
        write_text(self.path, text.getvalue(), do=self.do)

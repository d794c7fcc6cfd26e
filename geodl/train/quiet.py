"""Lightning in a command: expected warnings are filtered, Ctrl-C works as Python has it, and a line
tells how far it is.
"""

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, final

import lightning as L
from lightning.pytorch.callbacks import Callback

Progress = Callable[[str, int, int], None]

EXPECTED = (
    # a recipe may validate on nothing
    "You defined a `validation_step` but have no `val_dataloader`",
    "`isinstance\\(treespec, LeafSpec\\)` is deprecated",  # how Lightning reads torch 2.13
    "Checkpoint directory .* exists and is not empty",  # a run that is continued
    "Sparse invariant checks are implicitly disabled",  # how torchmetrics counts pairs
)


@final
class Steps(Callback):
    """Tells how far a seed is.

    Args:
        progress: called with a line, the steps done and the steps in all.
        label: what the line begins with.
    """

    def __init__(self, progress: Progress, label: str):
        self.progress = progress
        self.label = label
        self.steps = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Count the steps of all epochs."""
        self.steps = int(trainer.estimated_stepping_batches)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Tell of a step."""
        line = f"{self.label}: epoch {trainer.current_epoch + 1} of {trainer.max_epochs}"
        # Not the steps of optimisers, of which several may take turns in a batch.
        self.progress(line, trainer.fit_loop.total_batch_idx + 1, self.steps)

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Tell of a validation batch."""
        count = int(trainer.num_val_batches[0])
        self.progress(f"{self.label}: validation", batch_idx + 1, count)

    def on_test_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Tell of a test batch."""
        count = int(trainer.num_test_batches[0])
        self.progress(f"{self.label}: test", batch_idx + 1, count)


@contextmanager
def interrupts(trainer: L.Trainer) -> Iterator[None]:
    """Ctrl-C as Python has it: Lightning ends the process and ignores the signal from then on."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if trainer.interrupted:
            raise KeyboardInterrupt from error
        raise
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings that are expected of a recipe, and without Lightning's greetings."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in EXPECTED:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

"""What Lightning trains: a model, with what makes a run repeatable and its checkpoints its own."""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from geodl.data import Vocabulary
from geodl.errors import GeodlError
from geodl.train.checkpoint import check_finite, check_mark, check_shapes, check_weights
from geodl.train.examples import mixed, process
from geodl.train.folder import LAST
from geodl.train.options import Optimizer
from geodl.train.parts import NO_VOCABULARIES


def seed_everything(seed: int) -> None:
    """Seed every generator that a model may draw from."""
    random.seed(seed)
    np.random.seed(seed)
    # torch.manual_seed walks the stack: 2 ms, as long as an epoch on Cora.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)


class Task(L.LightningModule, ABC):
    """A model to be trained, by seeds that make each epoch repeatable, and measured.

    Args:
        model: the network.
        optimizer: how to learn.
        vocabularies: how its tokens are read, "source" and "target".
        seed: all randomness of an epoch follows from it and from the epoch's number.
        mark: kept in every checkpoint with the vocabularies' fingerprints; a checkpoint with other
            ones is refused.

    Attributes:
        begun: whether training has begun: what fails before is the checkpoint that was restored.
        shown: some of the test examples with what was answered, for the eye.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        vocabularies: Mapping[str, Vocabulary] = NO_VOCABULARIES,
        seed: int = 0,
        mark: Mapping[str, str] | None = None,
    ):
        super().__init__()
        self.model = model
        self.optimizer = optimizer
        self.vocabularies = vocabularies
        self.seed = seed
        self.mark = dict(mark or {})
        for name, vocabulary in vocabularies.items():
            self.mark[f"vocabulary {name}"] = vocabulary.fingerprint
        self.begun = False
        self.shown: list[str] = []

    @abstractmethod
    def evaluate(self, part: str, batch: Any) -> None:
        """Log what is measured of a batch of "val" or "test"."""

    def complete(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """All metrics of a run, with what follows from those that were logged."""
        return dict(metrics)

    def on_train_start(self) -> None:
        """Note that everything was restored."""
        self.begun = True

    def on_train_epoch_start(self) -> None:
        """Seed the epoch and name it, so that it is the same in a run that was interrupted before
        it.
        """
        seed_everything(mixed(self.seed, self.current_epoch, process().rank))
        # Batches have it, as torch's DistributedSampler; a loader of the user's own may not.
        set_epoch = getattr(self.trainer.train_dataloader, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(self.current_epoch)

    def validation_step(self, batch: Any, index: int) -> None:
        """What is measured of validation examples."""
        self.evaluate("val", batch)

    def test_step(self, batch: Any, index: int) -> None:
        """What is measured of test examples."""
        self.evaluate("test", batch)

    def check_step(self, loss: Tensor) -> None:
        """Refuse a training loss that is NaN or infinite.

        Raises:
            GeodlError: the epoch and the step are named, and the last checkpoint before it.
        """
        when = f"{self._run()}, epoch {self.current_epoch + 1}, step {self.global_step + 1}"
        check_finite(loss.detach(), when, self._kept())

    def check_evaluated(self, loss: Tensor, part: str) -> None:
        """Refuse a loss of "val" or "test" examples that is NaN or infinite.

        Raises:
            GeodlError: the examples and the steps before them are named.
        """
        when = f"{self._run()}, the {part} examples after {self._steps()}"
        check_finite(loss, when, self._kept())

    def _run(self) -> str:
        return self.mark.get("run", "training")

    def _steps(self) -> str:
        return f"{self.global_step} steps"

    def _kept(self) -> str:
        """The checkpoint that the run would be continued from, "" where none was written yet."""
        if self._trainer is None:
            return ""
        for callback in self._trainer.checkpoint_callbacks:
            folder = getattr(callback, "dirpath", None)
            if folder is not None and (Path(folder) / LAST).exists():
                return str(Path(folder) / LAST)
        return ""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say whose checkpoint it is.

        Raises:
            GeodlError: if a weight is NaN or infinite.
        """
        when = f"{self._run()}, {self._steps()}"
        check_weights(self.state_dict(), when, self._kept())
        checkpoint["geodl"] = self.mark

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the checkpoint of another run, vocabulary or model before a weight is copied, or
        one without the place in its schedule.
        """
        check_mark(checkpoint, self.mark)
        check_shapes(checkpoint["state_dict"], self.state_dict(), f"to continue {self.mark}")
        if self.optimizer.schedule != "constant" and not checkpoint["lr_schedulers"]:
            found = "a checkpoint without the place in the schedule of its learning rate"
            raise GeodlError(f"to continue {self.mark}", found, "start the run anew")

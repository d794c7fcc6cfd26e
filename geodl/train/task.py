"""What Lightning trains: a model, the cross-entropy of its scores, and what is measured beside
it.
"""

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR

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
    """Cross-entropy in nats: `-log softmax(scores)[class]`, the mean over what counts.

    Args:
        model: takes Signals and returns one with a channel for each class.
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
    def read(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Scores `[M, K]` and classes `[M]` of all that counts in a batch."""

    @abstractmethod
    def judge(self, part: str, batch: Any, scores: Tensor, classes: Tensor) -> None:
        """Log what else is measured of a batch of "val" or "test"."""

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

    def training_step(self, batch: Any, index: int) -> Tensor:
        """The loss of a batch.

        Raises:
            GeodlError: if the loss is NaN or infinite; the epoch and the step are named.
        """
        scores, classes = self.read(batch)
        loss = cross_entropy(scores, classes)
        when = f"{self._run()}, epoch {self.current_epoch + 1}, step {self.global_step + 1}"
        check_finite(loss.detach(), when, self._kept())
        self.log(
            "train/loss",
            loss,
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=len(classes),
        )
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        """What is measured of validation examples."""
        self._evaluate("val", batch)

    def test_step(self, batch: Any, index: int) -> None:
        """What is measured of test examples."""
        self._evaluate("test", batch)

    def _evaluate(self, part: str, batch: Any) -> None:
        scores, classes = self.read(batch)
        loss = cross_entropy(scores, classes)
        when = f"{self._run()}, the {part} examples after {self._steps()}"
        check_finite(loss, when, self._kept())
        self.log(f"{part}/loss", loss, batch_size=len(classes))
        self.judge(part, batch, scores, classes)

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

    def configure_optimizers(self) -> Any:
        """The optimiser, with the penalty on the parameters that it is meant for, and its
        schedule.
        """
        asked = self.optimizer
        if asked.lr is None:
            raise GeodlError("to learn without a learning rate", do="give optimizer.lr")
        decays = (asked.weight_decay, asked.others_decay)
        groups = [
            {"params": chosen, "weight_decay": decay}
            for chosen, decay in zip(self._decayed(), decays, strict=True)
            if chosen
        ]
        method = torch.optim.Adam if asked.method == "adam" else torch.optim.AdamW
        adam = method(groups, lr=asked.lr, betas=(0.9, asked.beta2))
        if asked.schedule == "constant":
            return adam
        steps = int(self.trainer.estimated_stepping_batches)
        if asked.schedule == "one-cycle":
            schedule = OneCycleLR(adam, max_lr=asked.lr, total_steps=steps)
        else:
            highest = asked.lr
            schedule = LambdaLR(adam, lambda step: cosine(step, steps, asked) / highest)
        return {"optimizer": adam, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _decayed(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """The parameters that the penalty is meant for, and the others."""
        everything = list(self.model.parameters())
        if self.optimizer.decayed == "all":
            return everything, []
        if self.optimizer.decayed == "matrices":
            chosen = {id(p) for p in everything if p.dim() > 1}
        else:
            layers = list(layers_of(self.model))
            meant = layers[:1]
            if self.optimizer.decayed == "inner":
                meant = layers[1:-1]
            chosen = {id(p) for layer in meant for p in layer}
        decayed = [p for p in everything if id(p) in chosen]
        others = [p for p in everything if id(p) not in chosen]
        return decayed, others

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


def layers_of(module: nn.Module) -> Iterator[list[nn.Parameter]]:
    """The parameters of each layer of a model: of the outermost modules that own some themselves,
    with those inside of them.

    >>> [len(layer) for layer in layers_of(nn.Sequential(nn.Linear(3, 2), nn.ReLU()))]
    [2]
    """
    if next(module.parameters(recurse=False), None) is not None:
        yield list(module.parameters())
        return
    for part in module.children():
        yield from layers_of(part)


def cosine(step: int, steps: int, asked: Optimizer) -> float:
    """The learning rate of a step: up along a line for `warmup` steps, then down along half a
    cosine (as nanoGPT).

    >>> asked = Optimizer(lr=1.0, min_lr=0.1, warmup=4, schedule="cosine")
    >>> [round(cosine(step, 14, asked), 2) for step in (0, 3, 4, 9, 14)]
    [0.2, 0.8, 1.0, 0.55, 0.1]
    """
    highest = asked.lr or 0.0
    if step < asked.warmup:
        return highest * (step + 1) / (asked.warmup + 1)
    share = min(1.0, (step - asked.warmup) / max(1, steps - asked.warmup))
    return asked.min_lr + (highest - asked.min_lr) * 0.5 * (1 + math.cos(math.pi * share))

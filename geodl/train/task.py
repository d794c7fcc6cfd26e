"""What Lightning trains: a model, the cross-entropy of its scores, and what is measured beside
it.
"""

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from geodl.data import Vocabulary
from geodl.errors import GeodlError
from geodl.train.examples import Batches, mixed
from geodl.train.options import Optimizer
from geodl.train.parts import NO_VOCABULARIES


def seed_everything(seed: int) -> None:
    """Seed every generator that a model may draw from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(
        seed
    )  # torch.manual_seed walks the stack: 2 ms, as long as an epoch on Cora
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
        self.model, self.optimizer, self.vocabularies, self.seed = (
            model,
            optimizer,
            vocabularies,
            seed,
        )
        self.mark = dict(mark or {}) | {
            f"vocabulary {name}": found.fingerprint for name, found in vocabularies.items()
        }

    @abstractmethod
    def read(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Scores `[M, K]` and classes `[M]` of all that counts in a batch."""

    @abstractmethod
    def judge(self, part: str, batch: Any, scores: Tensor, classes: Tensor) -> None:
        """Log what else is measured of a batch of "val" or "test"."""

    def on_train_epoch_start(self) -> None:
        """Seed the epoch and name it, so that it is the same in a run that was interrupted before
        it.
        """
        seed_everything(mixed(self.seed, self.current_epoch))
        batches = self.trainer.train_dataloader
        assert isinstance(batches, Batches)
        batches.epoch = self.current_epoch

    def training_step(self, batch: Any, index: int) -> Tensor:
        """The loss of a batch."""
        scores, classes = self.read(batch)
        loss = cross_entropy(scores, classes)
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(classes))
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        """What is measured of validation examples."""
        self._evaluate("val", batch)

    def test_step(self, batch: Any, index: int) -> None:
        """What is measured of test examples."""
        self._evaluate("test", batch)

    def _evaluate(self, part: str, batch: Any) -> None:
        scores, classes = self.read(batch)
        self.log(f"{part}/loss", cross_entropy(scores, classes), batch_size=len(classes))
        self.judge(part, batch, scores, classes)

    def configure_optimizers(self) -> Any:
        """The optimiser, with the penalty on the parameters that it is meant for, and its
        schedule.
        """
        asked, lr = self.optimizer, self.optimizer.lr
        if lr is None:
            raise GeodlError("to learn without a learning rate", do="give optimizer.lr")
        known = {id(parameter) for parameter in self._decayed()}
        decayed, others = (
            [p for p in self.model.parameters() if (id(p) in known) == kind]
            for kind in (True, False)
        )
        groups = [
            {"params": decayed, "weight_decay": asked.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        method = torch.optim.Adam if asked.method == "adam" else torch.optim.AdamW
        adam = method(
            [group for group in groups if group["params"]], lr=lr, betas=(0.9, asked.beta2)
        )
        if asked.schedule == "constant":
            return adam
        steps = int(self.trainer.estimated_stepping_batches)
        if asked.schedule == "one-cycle":
            schedule = torch.optim.lr_scheduler.OneCycleLR(adam, max_lr=lr, total_steps=steps)
        else:
            schedule = torch.optim.lr_scheduler.LambdaLR(
                adam, lambda step: cosine(step, steps, asked) / lr
            )
        return {"optimizer": adam, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _decayed(self) -> list[nn.Parameter]:
        """The parameters that the penalty is meant for."""
        everything = list(self.model.parameters())
        if self.optimizer.decayed == "first":
            return next(
                found
                for layer in self.model.modules()
                if (found := list(layer.parameters(recurse=False)))
            )
        return (
            [p for p in everything if p.dim() > 1]
            if self.optimizer.decayed == "matrices"
            else everything
        )

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """The batch as it is: the examples are where the model is."""
        return batch

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say whose checkpoint it is."""
        checkpoint["geodl"] = self.mark

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the checkpoint of another run, vocabulary or model before a weight is copied."""
        check_mark(checkpoint, self.mark)
        check_shapes(checkpoint["state_dict"], self.state_dict(), f"to continue {self.mark}")


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


def check_mark(checkpoint: Mapping[str, Any], mark: Mapping[str, str]) -> None:
    """Refuse a checkpoint that bears another mark: what differs is named.

    >>> mark = {"recipe": "a", "vocabulary target": "34cd"}
    >>> check_mark({"geodl": {"recipe": "a", "vocabulary target": "12ab"}}, mark)
    Traceback (most recent call last):
    geodl.errors.GeodlError: the weights of a with the vocabulary target 34cd: found a checkpoint
    with 12ab; ...
    """
    found = checkpoint.get("geodl")
    theirs = found if isinstance(found, dict) else {}
    for name in sorted(mark.keys() | theirs.keys()):
        if (
            name.startswith("vocabulary")
            and theirs.get("recipe") == mark.get("recipe")
            and theirs.get(name) != mark.get(name)
        ):
            asked = f"the weights of {mark.get('recipe')} with the {name} {mark.get(name, 'none')}"
            raise GeodlError(
                asked,
                f"a checkpoint with {theirs.get(name, 'none')}",
                "use the vocabulary that it was trained with",
            )
    if theirs != dict(mark):
        whose = f"a checkpoint of {found or 'something else'}"
        raise GeodlError(
            f"to continue {dict(mark)}", whose, "resume from the folder of this very run"
        )


def check_shapes(theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor], asked: str) -> None:
    """Refuse weights that are not those of a model, by the name of the first that differs."""
    found, wanted = (
        {name: tuple(value.shape) for name, value in state.items()} for state in (theirs, ours)
    )
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            shapes = (
                f"{name} of shape {found.get(name, 'none')} where "
                f"the model has {wanted.get(name, 'none')}"
            )
            raise GeodlError(asked, shapes, "resume with the options the run was started with")

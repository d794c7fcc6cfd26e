"""What Lightning trains: classification of nodes and of images."""

import random
from abc import ABC, abstractmethod
from typing import Any, final

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics.classification import MulticlassAccuracy

from geodl.errors import GeodlError
from geodl.signal import Signal
from geodl.train.parts import Nodes, mixed
from geodl.train.recipes import Optimizer


def sow(seed: int) -> None:
    """Seed every generator that a model may draw from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed walks the stack: 2 ms, as long as an epoch on Cora
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)


class Classification(L.LightningModule, ABC):
    """Cross-entropy, and the accuracy of the most likely class.

    Args:
        model: takes a Signal and returns one with a channel for each class.
        classes: how many there are.
        optimizer: how to learn.
        seed: all randomness of an epoch follows from it and from the epoch's number.
        mark: kept in every checkpoint; a checkpoint with another mark is refused.
    """

    def __init__(
        self, model: nn.Module, classes: int, optimizer: Optimizer, *, seed: int = 0, mark: dict[str, str] | None = None
    ):
        super().__init__()
        self.model, self.optimizer, self.seed, self.mark = model, optimizer, seed, mark or {}
        self.accuracy = MulticlassAccuracy(classes, average="micro")

    @abstractmethod
    def read(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Scores `[M, K]` and classes `[M]` of a batch."""

    def on_train_epoch_start(self) -> None:
        """Seed the epoch, so that it is the same in a run that was interrupted before it."""
        sow(mixed(self.seed, self.current_epoch))

    def training_step(self, batch: Any, index: int) -> Tensor:
        """The loss of a batch."""
        scores, labels = self.read(batch)
        loss = cross_entropy(scores, labels)
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(labels))
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        """Loss and accuracy of validation examples."""
        self._evaluate("val", batch)

    def test_step(self, batch: Any, index: int) -> None:
        """Loss and accuracy of test examples."""
        self._evaluate("test", batch)

    def _evaluate(self, part: str, batch: Any) -> None:
        scores, labels = self.read(batch)
        self.accuracy.update(scores, labels)
        self.log(f"{part}/loss", cross_entropy(scores, labels), batch_size=len(labels))
        self.log(f"{part}/accuracy", self.accuracy, on_step=False, on_epoch=True, batch_size=len(labels))

    def configure_optimizers(self) -> Any:
        """Adam, with the penalty on the layers it is meant for, and its schedule."""
        asked, lr = self.optimizer, self.optimizer.lr
        if lr is None:
            raise GeodlError("to learn without a learning rate", do="give optimizer.lr")
        first = next(layer for layer in self.model.modules() if next(layer.parameters(recurse=False), None) is not None)
        decayed = list(self.model.parameters() if asked.decayed == "all" else first.parameters())
        known = {id(parameter) for parameter in decayed}
        others = [parameter for parameter in self.model.parameters() if id(parameter) not in known]
        groups = [{"params": decayed, "weight_decay": asked.weight_decay}, {"params": others}]
        adam = torch.optim.Adam([group for group in groups if group["params"]], lr=lr)
        if asked.schedule == "constant":
            return adam
        steps = int(self.trainer.estimated_stepping_batches)
        cycle = torch.optim.lr_scheduler.OneCycleLR(adam, max_lr=lr, total_steps=steps)
        return {"optimizer": adam, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """The batch as it is: the loaders hold their examples where the model is."""
        return batch

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say whose checkpoint it is."""
        checkpoint["geodl"] = self.mark

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the checkpoint of another run or of another model before a weight is copied."""
        if checkpoint.get("geodl") != self.mark:
            found = f"a checkpoint of {checkpoint.get('geodl', 'something else')}"
            raise GeodlError(f"to continue {self.mark}", found, "resume from the folder of this very run")
        ours, theirs = ({k: tuple(v.shape) for k, v in state.items()} for state in (self.state_dict(), checkpoint["state_dict"]))
        for name in sorted(ours.keys() | theirs.keys()):
            if ours.get(name) != theirs.get(name):
                found = f"{name} of shape {theirs.get(name, 'none')} where the model has {ours.get(name, 'none')}"
                raise GeodlError(f"to continue {self.mark}", found, "resume with the options the run was started with")


@final
class NodeClassification(Classification):
    """Classes of nodes of one graph; a batch is `Nodes`, of which `nodes` are meant."""

    def read(self, batch: Nodes) -> tuple[Tensor, Tensor]:
        """Scores and classes of the nodes meant."""
        return self.model(batch.signal).x[0, batch.nodes], batch.labels


@final
class ImageClassification(Classification):
    """Classes of images; a batch is images `[M, 1, H, W]` and classes `[M]`; the model ends on one node."""

    def read(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Scores and classes of the images."""
        images, labels = batch
        return self.model(Signal.image(images)).x[:, 0], labels


TASKS = {"nodes": NodeClassification, "images": ImageClassification}

"""Tasks that minimise one loss by one optimiser."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR

from geodl.errors import GeodlError
from geodl.train.options import Optimizer
from geodl.train.task import Task


class Minimization(Task, ABC):
    """A task that minimises one loss, by one optimiser and its learning-rate schedule."""

    @abstractmethod
    def loss(self, batch: Any) -> tuple[Tensor, int]:
        """The loss of a training batch, and the number of examples that it is a mean over."""

    def training_step(self, batch: Any, index: int) -> Tensor:
        """The loss of a batch.

        Raises:
            GeodlError: if the loss is NaN or infinite; the epoch and the step are named.
        """
        loss, count = self.loss(batch)
        self.check_step(loss)
        self.log(
            "train/loss",
            loss,
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=count,
        )
        return loss

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
        adam = method(groups, lr=asked.lr, betas=(asked.beta1, asked.beta2))
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

"""What may be changed of a recipe: its optimiser, its trainer, the arguments of its model."""

import math
from dataclasses import dataclass
from typing import Any, Literal, final

from geodl.errors import GeodlError


@final
@dataclass(frozen=True)
class Optimizer:
    """Adam (Kingma and Ba, 2015), or AdamW (Loshchilov and Hutter, 2019), whose decay is no part of
    the gradient.

    Args:
        lr: learning rate, the highest one of a schedule; null has the recipe search for it.
        weight_decay: strength of the L2 penalty, or of AdamW's decay.
        decayed: the parameters that it falls on; matrices are those of two axes or more.
        schedule: how the learning rate moves: one-cycle is that of Smith (2018), over all steps;
            cosine rises over `warmup` steps and falls along half a cosine to `min_lr`.
        method: adam or adamw.
        beta2: the decay of the mean of squares; that of the mean is 0.9.
        warmup: steps in which cosine rises from zero.
        min_lr: where cosine ends.
        clip: the largest norm of the gradient; null leaves it.
    """

    lr: float | None
    weight_decay: float = 0.0
    decayed: Literal["all", "first", "matrices"] = "all"
    schedule: Literal["constant", "one-cycle", "cosine"] = "constant"
    method: Literal["adam", "adamw"] = "adam"
    beta2: float = 0.999
    warmup: int = 0
    min_lr: float = 0.0
    clip: float | None = None

    def __post_init__(self):
        for name, value in (("lr", self.lr), ("clip", self.clip)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise GeodlError(f"optimizer.{name}={value}", do="give a number above 0")
        for name in ("weight_decay", "min_lr", "warmup"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise GeodlError(f"optimizer.{name}={value}", do="give a number of at least 0")
        if not 0 <= self.beta2 < 1:
            raise GeodlError(
                f"optimizer.beta2={self.beta2}", do="give a number from 0 to 1, without 1"
            )
        if (self.warmup or self.min_lr) and self.schedule != "cosine":
            found = f"the schedule {self.schedule}"
            raise GeodlError(
                "optimizer.warmup and optimizer.min_lr", found, "leave both out, or take cosine"
            )

    def __str__(self) -> str:
        schedule = "" if self.schedule == "constant" else f" {self.schedule}"
        rate = "None" if self.lr is None else f"{self.lr:g}"
        rate += (
            f" to {self.min_lr:g} after {self.warmup} steps of warm-up"
            if self.schedule == "cosine"
            else ""
        )
        where = {"all": "all layers", "first": "the first layer", "matrices": "matrices"}[
            self.decayed
        ]
        decay = f", weight decay {self.weight_decay:g} on {where}" if self.weight_decay else ""
        beta = "" if self.beta2 == 0.999 else f", betas 0.9 and {self.beta2:g}"
        clip = "" if self.clip is None else f", gradient norm at most {self.clip:g}"
        return (
            f"{'Adam' if self.method == 'adam' else 'AdamW'}{schedule}, "
            f"lr {rate}{decay}{beta}{clip}"
        )


@final
@dataclass(frozen=True)
class TrainerOptions:
    """How long and on what to train.

    Args:
        max_epochs: passes over the training examples; of a long text, a recipe says how many steps
            an epoch has.
        check_val_every_n_epoch: validate and keep a checkpoint every so many epochs.
        accelerator: auto takes a GPU where there is one.
        precision: bf16-mixed computes in bfloat16 where that is safe.
    """

    max_epochs: int = 20
    check_val_every_n_epoch: int = 1
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"

    def __post_init__(self):
        for name in ("max_epochs", "check_val_every_n_epoch"):
            if getattr(self, name) < 1:
                raise GeodlError(f"trainer.{name}={getattr(self, name)}", do="give at least 1")


@final
@dataclass(frozen=True)
class Options:
    """What may be changed of a recipe; what a run folder keeps as its resolved configuration.

    Args:
        model: the arguments of the recipe's model, all of them.
        optimizer: the optimiser.
        trainer: how long and on what to train.
        batch_size: examples a step; None for a graph, which is learnt from as a whole.
    """

    model: dict[str, Any]
    optimizer: Optimizer
    trainer: TrainerOptions
    batch_size: int | None = None

    def __post_init__(self):
        if self.batch_size is not None and self.batch_size < 1:
            raise GeodlError(f"batch_size={self.batch_size}", do="give at least 1")

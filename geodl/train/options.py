"""What may be changed of a recipe: its optimiser, its trainer, the arguments of its model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, final

from geodl.errors import GeodlError

# Adam multiplies and divides by these numbers in float32, which ends at 3.4e38: with room to spare.
LARGEST = 1e30
METHODS = {"adam": "Adam", "adamw": "AdamW"}
DECAYED = {
    "all": "all layers",
    "first": "the first layer",
    "inner": "all layers but the first and the last",
    "matrices": "matrices",
}


@final
@dataclass(frozen=True)
class Optimizer:
    """Adam (Kingma and Ba, 2015) or AdamW (Loshchilov and Hutter, 2019).

    AdamW's decay is not part of the gradient.

    Args:
        lr: learning rate, the highest one of a schedule; null has the recipe search for it.
        weight_decay: strength of the L2 penalty, or of AdamW's decay.
        decayed: the parameters that it falls on; matrices are those of two axes or more, inner are
            those of all layers but the first and the last.
        others_decay: strength of the penalty on all other parameters.
        schedule: how the learning rate moves: one-cycle is that of Smith (2018), over all steps;
            cosine rises over `warmup` steps and falls along half a cosine to `min_lr`.
        method: which of the two.
        beta1: the decay of the mean of gradients.
        beta2: the decay of the mean of their squares.
        warmup: steps in which cosine rises from zero.
        min_lr: where cosine ends.
        clip: the largest norm of the gradient; null leaves it.
    """

    lr: float | None
    weight_decay: float = 0.0
    decayed: Literal["all", "first", "inner", "matrices"] = "all"
    others_decay: float = 0.0
    schedule: Literal["constant", "one-cycle", "cosine"] = "constant"
    method: Literal["adam", "adamw"] = "adam"
    beta1: float = 0.9
    beta2: float = 0.999
    warmup: int = 0
    min_lr: float = 0.0
    clip: float | None = None

    def __post_init__(self):
        for name in ("lr", "clip"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= LARGEST:
                do = f"give a number above 0, up to {LARGEST:g}"
                raise GeodlError(f"optimizer.{name}={value}", do=do)
        for name in ("weight_decay", "others_decay", "min_lr", "warmup"):
            value = getattr(self, name)
            if not 0 <= value <= LARGEST:
                do = f"give a number of at least 0, up to {LARGEST:g}"
                raise GeodlError(f"optimizer.{name}={value}", do=do)
        if self.others_decay and self.decayed == "all":
            found = "a penalty on all layers, which leaves no others"
            raise GeodlError("optimizer.others_decay", found, "give optimizer.weight_decay alone")
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                do = "give a number from 0 to 1, without 1"
                raise GeodlError(f"optimizer.{name}={value}", do=do)
        if (self.warmup or self.min_lr) and self.schedule != "cosine":
            asked = "optimizer.warmup and optimizer.min_lr"
            found = f"the schedule {self.schedule}"
            raise GeodlError(asked, found, "leave both out, or take cosine")

    def __str__(self) -> str:
        """The optimiser as a protocol prints it: what is at its default is left out."""
        name = METHODS[self.method]
        if self.schedule != "constant":
            name = f"{name} {self.schedule}"
        rate = "lr None" if self.lr is None else f"lr {self.lr:g}"
        if self.schedule == "cosine":
            rate += f" to {self.min_lr:g} after {self.warmup} steps of warm-up"
        said = [name, rate]
        if self.weight_decay:
            said.append(f"weight decay {self.weight_decay:g} on {DECAYED[self.decayed]}")
        if self.others_decay:
            said.append(f"weight decay {self.others_decay:g} on the others")
        if (self.beta1, self.beta2) != (0.9, 0.999):
            said.append(f"betas {self.beta1:g} and {self.beta2:g}")
        if self.clip is not None:
            said.append(f"gradient norm at most {self.clip:g}")
        return ", ".join(said)


@final
@dataclass(frozen=True)
class TrainerOptions:
    """How long and on what to train.

    Args:
        max_epochs: the most passes over the training examples; of a long text, a recipe says how
            many steps an epoch has.
        check_val_every_n_epoch: validate and keep a checkpoint every so many epochs.
        weights: which are reported, those of the last epoch or the best, of the least validation
            loss among those that were validated.
        patience: stop after so many epochs without a smaller validation loss; null trains to the
            end.
        accelerator: auto takes a GPU where there is one.
        precision: bf16-mixed computes in bfloat16 where that is safe.
        devices: how many, their numbers, or auto, as Lightning reads it; of several, each takes
            its own `batch_size` examples a step, and `--run` is needed.
        strategy: how several devices work together, by Lightning's names, as ddp.
        limit_batches: the most batches of an epoch and of an evaluation, to try a recipe out; null
            takes all.
        limit_examples: learn from so many training examples, evenly spread over all of them, to
            see how many are needed; null learns from all.
    """

    max_epochs: int = 20
    check_val_every_n_epoch: int = 1
    weights: Literal["last", "best"] = "last"
    patience: int | None = None
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    devices: int | list[int] | str = 1
    strategy: str = "auto"
    limit_batches: int | None = None
    limit_examples: int | None = None

    def __post_init__(self):
        limits = ("limit_batches", "limit_examples")
        for name in ("max_epochs", "check_val_every_n_epoch", "patience", *limits):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise GeodlError(f"trainer.{name}={value}", do="give at least 1")

    def __str__(self) -> str:
        """The epochs as a protocol prints them, and what is not at its default."""
        said = [f"{self.max_epochs} epoch{'s' * (self.max_epochs > 1)}"]
        if self.patience is not None:
            said.append(f"patience {self.patience}")
        if self.weights == "best":
            said.append("weights of the least validation loss")
        if self.precision != "32-true":
            said.append(self.precision)
        if self.devices != 1:
            said.append(f"devices {self.devices}")
        if self.limit_batches is not None:
            said.append(f"a trial of at most {self.limit_batches} batches of each part")
        if self.limit_examples is not None:
            said.append(f"learnt from {self.limit_examples} examples only, evenly spread")
        return ", ".join(said)


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

    def named(self) -> dict[str, Any]:
        """Every option by the name it has on the command line, as `optimizer.lr`."""
        parts = {
            "model": self.model,
            "optimizer": asdict(self.optimizer),
            "trainer": asdict(self.trainer),
        }
        flat: dict[str, Any] = {}
        for part, values in parts.items():
            flat |= {f"{part}.{name}": value for name, value in values.items()}
        if self.batch_size is not None:
            flat["batch_size"] = self.batch_size
        return flat

    @staticmethod
    def from_named(flat: Mapping[str, Any]) -> "Options":
        """The options whose names `named` gave.

        Raises:
            GeodlError: if an option cannot have the value.
            TypeError: an optimiser or a trainer does not have an option of that name.
        """
        parts: dict[str, dict[str, Any]] = {"model": {}, "optimizer": {}, "trainer": {}}
        for name, value in flat.items():
            part, _, inner = name.partition(".")
            if inner:
                parts[part][inner] = value
        optimizer = Optimizer(**parts["optimizer"])
        trainer = TrainerOptions(**parts["trainer"])
        return Options(parts["model"], optimizer, trainer, flat.get("batch_size"))

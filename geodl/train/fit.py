"""One seed trained by Lightning, and its weights of the last epoch evaluated."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from geodl.errors import GeodlError
from geodl.train.checkpoint import WholeCheckpoints, read_checkpoint
from geodl.train.examples import Batches
from geodl.train.folder import BEST, LAST
from geodl.train.metrics import FILE, EpochMetrics
from geodl.train.options import Options, TrainerOptions
from geodl.train.parts import Parts
from geodl.train.quiet import Progress, Steps, interrupts
from geodl.train.recipe import Recipe
from geodl.train.task import Task


def check_trainer(recipe: Recipe, asked: TrainerOptions, *, named: bool) -> None:
    """Refuse what Lightning cannot run here, or not with this recipe.

    Args:
        recipe: what is to be run.
        asked: on what.
        named: whether the run folder was named: of several processes, each has to find it.
    """
    count = _trainer(asked).world_size
    if count == 1:
        return
    several = f"{recipe.name} on {count} devices"
    if recipe.batch_size is None:
        raise GeodlError(several, "a graph, which is one batch", "give --trainer.devices 1")
    if not named:
        raise GeodlError(several, "no folder that all processes know", "name one with --run")


def check_validated(recipe: Recipe, asked: TrainerOptions, parts: Parts) -> None:
    """Refuse to choose weights, or to stop, by a validation that there will not be."""
    if asked.weights == "last" and asked.patience is None:
        return
    wanted = f"{recipe.name} with trainer.weights={asked.weights}"
    wanted += f" and trainer.patience={asked.patience}"
    if parts.val is None:
        raise GeodlError(wanted, "no examples to validate on", "leave both out")
    every = asked.check_val_every_n_epoch
    if every > asked.max_epochs:
        found = f"no validation in {asked.max_epochs} epochs"
        do = f"give trainer.check_val_every_n_epoch of at most {asked.max_epochs}"
        raise GeodlError(wanted, found, do)


def fit(
    task: Task,
    parts: Parts,
    options: Options,
    home: Path,
    *,
    progress: Progress,
    label: str,
    do: str,
) -> dict[str, float]:
    """Train, then evaluate the weights of the last epoch, or the best ones; go on from the last
    checkpoint if there is one.

    Args:
        task: what is learnt, its weights at their start.
        parts: the examples.
        options: of the run.
        home: the folder of this seed, which exists.
        progress: called with a line that begins with `label`, the steps done and all steps.
        label: which seed it is.
        do: the advice where `home` cannot be written.

    Returns:
        Each metric of the validation and of the test examples.

    Raises:
        GeodlError: if the checkpoint cannot be used, the folder cannot be written, the loss is NaN
            or infinite, or a device is not there.
    """
    every = options.trainer.check_val_every_n_epoch
    callbacks: list[Callback] = [
        Steps(progress, label),
        EpochMetrics(home / FILE, every=every, do=do),
        _kept(home, every, filename=Path(LAST).stem),
    ]
    if parts.val is not None:
        callbacks.append(_kept(home, every, filename=Path(BEST).stem, monitor="val/loss"))
    if options.trainer.patience is not None:
        checks = max(1, options.trainer.patience // every)
        callbacks.append(EarlyStopping("val/loss", patience=checks, check_on_train_epoch_end=False))
    clip = options.optimizer.clip
    if not task.automatic_optimization:
        clip = None  # a task that takes its steps itself clips itself
    trainer = _trainer(
        options.trainer,
        clip=clip,
        callbacks=callbacks,
        checkpoints=WholeCheckpoints(do),
    )
    device = trainer.strategy.root_device
    train = Batches(parts.train.to(device), options.batch_size, task.seed)
    val = None
    if parts.val is not None:
        val = Batches(parts.val.to(device))
    metrics: Mapping[str, float] = {}
    with interrupts(trainer):
        _train(trainer, task, train, val, home / LAST)
        if options.trainer.weights == "best":
            best = read_checkpoint(home / BEST, do)
            task.load_state_dict(best["state_dict"])
        if val is not None:
            (metrics,) = trainer.validate(task, val, verbose=False)
        for suffix, part in parts.tests.items():
            (found,) = trainer.test(task, Batches(part.to(device)), verbose=False)
            metrics = dict(metrics) | {f"{name}{suffix}": value for name, value in found.items()}
    metrics = task.complete(metrics)
    return {name: float(metrics[name]) for name in sorted(metrics)}


def _trainer(
    asked: TrainerOptions,
    *,
    clip: float | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoints: WholeCheckpoints | None = None,
) -> L.Trainer:
    """Lightning's trainer, as the options say; without checkpoints to try the options out."""
    plugins: list[Any] = []
    if checkpoints is not None:
        plugins.append(checkpoints)
    try:
        return L.Trainer(
            max_epochs=asked.max_epochs,
            accelerator=asked.accelerator,
            precision=asked.precision,
            devices=asked.devices,
            strategy=asked.strategy,
            check_val_every_n_epoch=asked.check_val_every_n_epoch,
            limit_train_batches=asked.limit_batches,
            limit_val_batches=asked.limit_batches,
            limit_test_batches=asked.limit_batches,
            gradient_clip_val=clip,
            callbacks=list(callbacks),
            plugins=plugins,
            enable_checkpointing=checkpoints is not None,
            logger=False,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, TypeError, ValueError) as error:
        where = f"accelerator {asked.accelerator}, devices {asked.devices}"
        how = f"strategy {asked.strategy}, precision {asked.precision}"
        do = "leave out what this machine lacks"
        raise GeodlError(f"to train with {where}, {how}", str(error), do) from error


def _kept(home: Path, every: int, *, filename: str, monitor: str | None = None) -> ModelCheckpoint:
    """Keep a checkpoint at the end of every so many epochs: the last, or the best by a metric."""
    return ModelCheckpoint(
        dirpath=home,
        filename=filename,
        monitor=monitor,
        every_n_epochs=every,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


def _train(trainer: L.Trainer, task: Task, train: Batches, val: Batches | None, last: Path) -> None:
    """Train to the last epoch, from the last checkpoint if there is one, and keep the weights."""
    do = f"delete {last}: the seed starts anew, to the same result"
    if not last.exists():
        trainer.fit(task, train, val)
    else:
        kept = read_checkpoint(last, do)
        if _was_stopped(kept):
            # Lightning would train one epoch more before it asks again.
            task.on_load_checkpoint(kept)
            task.load_state_dict(kept["state_dict"])
            return
        try:
            trainer.fit(task, train, val, ckpt_path=str(last))
        except Exception as error:
            if isinstance(error, GeodlError) or task.begun:
                raise
            # A file with the parts of a checkpoint may hold anything in them: what fails before
            # the first step fails for that.
            found = f"no checkpoint of this run ({type(error).__name__}: {error})"
            raise GeodlError(f"to continue from {last}", found, do) from error
    trainer.save_checkpoint(last)


def _was_stopped(checkpoint: Mapping[str, Any]) -> bool:
    """Whether training had stopped for want of a smaller validation loss."""
    callbacks = checkpoint["callbacks"]
    if not isinstance(callbacks, dict):
        return False
    for name, state in callbacks.items():
        if str(name).startswith("EarlyStopping") and state.get("stopped_epoch"):
            return True
    return False

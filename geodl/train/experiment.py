"""A recipe run over its seeds, each by Lightning, in a folder from which it can be continued."""

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple, final

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.seed import isolate_rng

from geodl.errors import GeodlError
from geodl.report import write
from geodl.train import folder as folders
from geodl.train.classification import Classification
from geodl.train.decoding import Decoding
from geodl.train.examples import Batches
from geodl.train.options import Options
from geodl.train.parts import Parts
from geodl.train.quiet import Progress, Steps, interrupts, quiet
from geodl.train.recipe import Recipe
from geodl.train.result import Result
from geodl.train.task import Task, seed_everything
from geodl.train.tasks import TASKS


@final
class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run; `folder` is where it can be continued."""

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder


def run(
    recipe: Recipe,
    options: Options | None = None,
    *,
    seeds: int | None = None,
    folder: Path | None = None,
    resume: Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """Run a recipe with seeds 0 to n - 1, or continue a run that was interrupted.

    A continued run gives what an uninterrupted one gives, on a CPU to the last bit: it goes back to
    the end of the last epoch that was kept, and all randomness of an epoch follows from the seed
    and the epoch's number.

    Args:
        recipe: what to run.
        options: what to change of it; None takes the recipe's, or those of the run to be continued.
        seeds: how many; None takes 1, or those of the run to be continued.
        folder: where to keep the run; None makes a folder under `runs/`.
        resume: the folder of a run to continue.
        progress: called with a line, the steps done and the steps of one seed in all.

    Raises:
        GeodlError: options that the recipe does not take; a folder that cannot be written, holds
            something else or belongs to another recipe; other options than those of the run to be
            continued; another model's checkpoint.
        Interrupted: Ctrl-C; the run can be continued.
    """
    if resume is not None:
        options, seeds = _continued(recipe, resume, options, seeds)
    options, seeds = options or recipe.options, 1 if seeds is None else seeds
    with quiet(), isolate_rng():
        _check(recipe, options, seeds)
        parts = recipe.parts()
        home = resume or folders.start(folder, recipe.name, options, seeds, parts.vocabularies)
        folders.check_vocabularies(home, parts.vocabularies)
        try:
            return _all(_Job(recipe, options, home, progress or _silent), parts, seeds)
        except KeyboardInterrupt as error:
            raise Interrupted(home) from error


def _check(recipe: Recipe, options: Options, seeds: int) -> None:
    """Refuse what cannot run before anything is written."""
    if seeds < 1:
        raise GeodlError(f"{seeds} seeds", do="give at least 1")
    if (options.batch_size is None) != (recipe.batch_size is None):
        do = (
            "leave it out: a graph is one batch" if recipe.batch_size is None else "give at least 1"
        )
        raise GeodlError(f"batch_size={options.batch_size} for {recipe.name}", do=do)
    if options.optimizer.lr is None and not recipe.search:
        raise GeodlError(
            f"{recipe.name} without a learning rate",
            "a recipe that does not search for one",
            "give optimizer.lr",
        )
    recipe.build(options)


class _Job(NamedTuple):
    recipe: Recipe
    options: Options
    home: Path
    progress: Progress


def _continued(
    recipe: Recipe, resume: Path, options: Options | None, seeds: int | None
) -> tuple[Options, int]:
    kept, count = folders.reopen(resume, recipe.name)
    asked, found = _named(options or kept, count if seeds is None else seeds), _named(kept, count)
    for name in sorted(asked.keys() | found.keys()):
        if asked.get(name) != found.get(name):
            here = f"a run with {name}={found.get(name)}"
            raise GeodlError(
                f"to resume {resume} with {name}={asked.get(name)}", here, "leave the options out"
            )
    return kept, count


def _named(options: Options, seeds: int) -> dict[str, Any]:
    """Every option by the name it has on the command line."""
    parts = {
        "model": options.model,
        "optimizer": asdict(options.optimizer),
        "trainer": asdict(options.trainer),
    }
    flat = {
        f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()
    }
    return flat | {"batch_size": options.batch_size, "seeds": seeds}


def _all(job: _Job, parts: Parts, seeds: int) -> Result:
    search = _search(job) if job.options.optimizer.lr is None else {}
    if search:
        job = job._replace(
            options=replace(job.options, optimizer=replace(job.options.optimizer, lr=search["lr"]))
        )
    recipe, options = job.recipe, job.options
    runs = [
        _one(job, parts, seed, f"seed-{seed}", f"seed {seed}, {seed + 1} of {seeds}")
        for seed in range(seeds)
    ]
    values = {name: [one["metrics"][name] for one in runs] for name in runs[0]["metrics"]}
    seconds = sum(one["seconds"] for one in runs) + search.get("seconds", 0.0)
    protocol = _protocol(recipe, options)
    result = Result(
        recipe.name,
        parts.data,
        protocol,
        recipe.paper,
        tuple(range(seeds)),
        values,
        seconds,
        runs[0]["parameters"],
        {name: search[name] for name in ("lr", "val/error") if search},
        tuple(runs[0]["examples"]),
        job.home,
    )
    result.save(job.home / folders.RESULT)
    return result


def _search(job: _Job) -> dict[str, Any]:
    """One run of seed 0 for each learning rate; the least validation error is taken, the first of
    equals.
    """
    assert job.recipe.search_parts is not None
    parts = job.recipe.search_parts()._replace(tests={})
    errors, seconds = {}, 0.0
    for lr in job.recipe.search:
        tried = job._replace(
            options=replace(job.options, optimizer=replace(job.options.optimizer, lr=lr))
        )
        one = _one(tried, parts, 0, f"search-lr-{lr:g}", f"search, lr {lr:g}")
        errors[f"{lr:g}"] = one["metrics"]["val/error"]
        seconds += one["seconds"]
    best = min(job.recipe.search, key=lambda lr: errors[f"{lr:g}"])
    return {"lr": best, "val/error": errors, "seconds": seconds}


def _one(job: _Job, parts: Parts, seed: int, name: str, label: str) -> dict[str, Any]:
    """One seed from wherever it stands to its numbers, which are read again if they are there."""
    home = job.home / name
    if (home / folders.RESULT).exists():
        return folders.read(home / folders.RESULT)
    started = time.perf_counter()
    seed_everything(seed)
    model = job.recipe.build(job.options)
    mark = {"recipe": job.recipe.name, "run": name}
    task = TASKS[job.recipe.kind](
        model, job.options.optimizer, vocabularies=parts.vocabularies, seed=seed, mark=mark
    )
    trainer = _trainer(job, home, label, validated=parts.val is not None)
    metrics = _fitted(trainer, task, parts, job.options, home / "last.ckpt", seed)
    one = {"seed": seed, "metrics": metrics, "seconds": time.perf_counter() - started}
    one["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    one["examples"] = task.shown if isinstance(task, Decoding) else []
    write(home / folders.RESULT, json.dumps(one, indent=2) + "\n")
    return one


def _trainer(job: _Job, home: Path, label: str, *, validated: bool) -> L.Trainer:
    asked = job.options.trainer
    every = asked.check_val_every_n_epoch
    kept = {
        "dirpath": home,
        "every_n_epochs": every,
        "save_on_train_epoch_end": True,
        "enable_version_counter": False,
    }
    callbacks: list[Callback] = [
        Steps(job.progress, label),
        ModelCheckpoint(filename="last", **kept),
    ]
    if validated:
        callbacks.append(ModelCheckpoint(filename="best", monitor="val/loss", **kept))
    try:
        home.mkdir(exist_ok=True)
        return L.Trainer(
            max_epochs=asked.max_epochs,
            accelerator=asked.accelerator,
            precision=asked.precision,
            devices=1,
            check_val_every_n_epoch=every,
            logger=CSVLogger(home, name="metrics"),
            callbacks=callbacks,
            default_root_dir=home,
            gradient_clip_val=job.options.optimizer.clip,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except MisconfigurationException as error:
        asked_for = f"accelerator {asked.accelerator} with precision {asked.precision}"
        raise GeodlError(asked_for, str(error), "leave both out") from error
    except OSError as error:
        raise GeodlError(
            f"to write {home}", str(error), "make the run folder one that you can write"
        ) from error


def _fitted(
    trainer: L.Trainer, task: Task, parts: Parts, options: Options, last: Path, seed: int
) -> dict[str, float]:
    """Train, then evaluate the weights of the last epoch."""
    device = trainer.strategy.root_device
    train = Batches(parts.train.to(device), options.batch_size, seed)
    val = None if parts.val is None else Batches(parts.val.to(device))
    if last.exists():
        folders.read_checkpoint(last, "delete it: the seed starts anew, to the same result")
    with interrupts(trainer):
        trainer.fit(task, train, val, ckpt_path=str(last) if last.exists() else None)
        trainer.save_checkpoint(last)
        metrics = dict(trainer.validate(task, val, verbose=False)[0]) if val is not None else {}
        for suffix, part in parts.tests.items():
            found = trainer.test(task, Batches(part.to(device)), verbose=False)[0]
            metrics |= {f"{name}{suffix}": value for name, value in found.items()}
    judged = metrics if isinstance(task, Classification) else {}
    errors = {
        name.replace("accuracy", "error"): 1 - value
        for name, value in judged.items()
        if "accuracy" in name
    }
    return {name: float(value) for name, value in sorted((metrics | errors).items())}


def _protocol(recipe: Recipe, options: Options) -> str:
    model = ", ".join(f"{name} {value}" for name, value in options.model.items())
    size = f", batches of {options.batch_size}" if options.batch_size else ""
    trainer = options.trainer
    precision = "" if trainer.precision == "32-true" else f", {trainer.precision}"
    epochs = f"{trainer.max_epochs} epoch{'s' * (trainer.max_epochs > 1)}"
    return f"{recipe.protocol}; {model}; {options.optimizer}, {epochs}{size}{precision}"


def _silent(line: str, done: int, total: int) -> None:
    pass

"""A recipe run over its seeds, in a folder from which it can be continued."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, final

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.utilities.seed import isolate_rng

from geodl.data.cards import root
from geodl.errors import GeodlError
from geodl.files import in_words, remove_parts, write_json
from geodl.train import folder as folders
from geodl.train.fit import check_trainer, check_validated, fit
from geodl.train.options import Options
from geodl.train.parts import Parts, limited
from geodl.train.quiet import Progress, quiet
from geodl.train.recipe import Recipe
from geodl.train.result import Result
from geodl.train.task import seed_everything
from geodl.train.tasks import TASKS

KEPT = "runs"  # the folder of runs beside the data sets


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
            continued; another model's checkpoint, or none; a loss that is NaN or infinite; a disk
            that is full.
        Interrupted: Ctrl-C; the run can be continued.
    """
    if resume is not None:
        options, seeds = _continued(recipe, resume, options, seeds)
    options = options or recipe.options
    seeds = 1 if seeds is None else seeds
    progress = progress or _silent
    with quiet(), isolate_rng():
        _check(recipe, options, seeds, named=(folder or resume) is not None)
        for needed in recipe.needs:
            kept_run(needed, progress=progress)
        progress(f"{recipe.name}: preparing the data", 0, 0)
        parts = limited(recipe.parts(), options.trainer.limit_examples)
        check_validated(recipe, options.trainer, parts)
        home = resume or _home(folder, recipe, options, seeds, parts)
        folders.check_vocabularies(home, parts.vocabularies)
        try:
            return _all(_Job(recipe, options, home, progress), parts, seeds)
        except KeyboardInterrupt as error:
            raise Interrupted(home) from error


def kept_run(recipe: Recipe, *, progress: Progress | None = None) -> Path:
    """The folder of a finished run of a recipe, beside the data sets, on which others build. Where
    there is none the recipe is run, with seed 0; where it was interrupted, to its end.

    Args:
        recipe: what is to be there.
        progress: as for :func:`run`.
    """
    folder = root() / KEPT / recipe.name
    if (folder / folders.RESULT).exists():
        return folder
    try:
        if (folder / folders.ABOUT).exists():
            run(recipe, resume=folder, progress=progress)
        else:
            run(recipe, folder=folder, progress=progress)
    except Interrupted as error:
        # It goes on when it is needed again; the caller's own run has no folder yet.
        raise KeyboardInterrupt from error
    return folder


def is_first_process() -> bool:
    """Whether this process is the one that writes and prints, of those that train together."""
    return getattr(rank_zero_only, "rank", 0) == 0  # Lightning sets it as it is imported


class _Job(NamedTuple):
    recipe: Recipe
    options: Options
    home: Path
    progress: Progress


def _check(recipe: Recipe, options: Options, seeds: int, *, named: bool) -> None:
    """Refuse what cannot run before anything is written."""
    if seeds < 1:
        raise GeodlError(f"{seeds} seeds", do="give at least 1")
    asked = f"batch_size={options.batch_size} for {recipe.name}"
    if recipe.batch_size is None and options.batch_size is not None:
        raise GeodlError(asked, do="leave it out: a graph is one batch")
    if recipe.batch_size is not None and options.batch_size is None:
        raise GeodlError(asked, do="give at least 1")
    if options.optimizer.lr is None and not recipe.search:
        asked = f"{recipe.name} without a learning rate"
        raise GeodlError(asked, "a recipe that does not search for one", "give optimizer.lr")
    recipe.build(options)
    check_trainer(recipe, options.trainer, named=named)


def _home(folder: Path | None, recipe: Recipe, options: Options, seeds: int, parts: Parts) -> Path:
    """The run folder, made by the first process and known to all."""
    if folder is not None and not is_first_process():
        return folder
    return folders.start(folder, recipe.name, options, seeds, parts.vocabularies)


def _continued(
    recipe: Recipe, resume: Path, options: Options | None, seeds: int | None
) -> tuple[Options, int]:
    """The options and the seeds of a run, if what was asked for is the same."""
    kept, count = folders.reopen(resume, recipe.name)
    found = kept.named() | {"seeds": count}
    asked = (options or kept).named() | {"seeds": count if seeds is None else seeds}
    for name in sorted(asked.keys() | found.keys()):
        if asked.get(name) != found.get(name):
            here = f"a run with {name}={found.get(name)}"
            wanted = f"to resume {resume} with {name}={asked.get(name)}"
            raise GeodlError(wanted, here, "leave the options out")
    return kept, count


def _all(job: _Job, parts: Parts, seeds: int) -> Result:
    """All seeds one after the other, and before them the search for a learning rate."""
    search: dict[str, Any] = {}
    if job.options.optimizer.lr is None:
        search = _search(job)
        job = _with_rate(job, search["lr"])
    runs = []
    for seed in range(seeds):
        label = f"seed {seed}, {seed + 1} of {seeds}"
        if job.recipe.folds is not None:
            parts = limited(job.recipe.folds(seed), job.options.trainer.limit_examples)
        runs.append(_one(job, parts, seed, f"seed-{seed}", label))
    first = runs[0]
    result = Result(
        recipe=job.recipe.name,
        data=parts.data,
        protocol=_protocol(job.recipe, job.options),
        paper=job.recipe.paper,
        seeds=tuple(range(seeds)),
        values={name: [one["metrics"][name] for one in runs] for name in first["metrics"]},
        seconds=sum(one["seconds"] for one in runs) + search.pop("seconds", 0.0),
        parameters=first["parameters"],
        search=search,
        examples=tuple(first["examples"]),
        folder=job.home,
    )
    if is_first_process():
        result.save(job.home / folders.RESULT)
    return result


def _with_rate(job: _Job, lr: float) -> _Job:
    optimizer = replace(job.options.optimizer, lr=lr)
    return job._replace(options=replace(job.options, optimizer=optimizer))


def _search(job: _Job) -> dict[str, Any]:
    """One run of seed 0 for each learning rate; the least validation error is taken, the first of
    equals.
    """
    assert job.recipe.search_parts is not None
    parts = limited(job.recipe.search_parts(), job.options.trainer.limit_examples)
    parts = parts._replace(tests={})
    errors, seconds = {}, 0.0
    for lr in job.recipe.search:
        one = _one(_with_rate(job, lr), parts, 0, f"search-lr-{lr:g}", f"search, lr {lr:g}")
        errors[f"{lr:g}"] = one["metrics"]["val/error"]
        seconds += one["seconds"]
    best = min(job.recipe.search, key=lambda lr: errors[f"{lr:g}"])
    return {"lr": best, "val/error": errors, "seconds": seconds}


def _one(job: _Job, parts: Parts, seed: int, name: str, label: str) -> dict[str, Any]:
    """One seed from wherever it stands to its numbers, which are read again if they are there."""
    home = job.home / name
    if (home / folders.RESULT).exists():
        fields = ("metrics", "seconds", "parameters", "examples")
        return folders.read_fields(home / folders.RESULT, *fields)
    do = f"make room or rights there, then continue with --resume {job.home}"
    started = time.perf_counter()
    seed_everything(seed)
    model = job.recipe.build(job.options)
    task = TASKS[job.recipe.task](
        model,
        job.options.optimizer,
        vocabularies=parts.vocabularies,
        seed=seed,
        mark={"recipe": job.recipe.name, "run": name},
    )
    with in_words(f"to keep the run in {home}", do):
        home.mkdir(exist_ok=True)
        if is_first_process():
            remove_parts(home)
        metrics = fit(task, parts, job.options, home, progress=job.progress, label=label, do=do)
    one = {
        "seed": seed,
        "metrics": metrics,
        "seconds": time.perf_counter() - started,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "examples": task.shown,
    }
    if is_first_process():
        write_json(home / folders.RESULT, one, do=do)
    return one


def _protocol(recipe: Recipe, options: Options) -> str:
    """The recipe's protocol and every option that matters."""
    model = ", ".join(f"{name} {value}" for name, value in options.model.items())
    trained = f"{options.optimizer}, {options.trainer}"
    if options.batch_size:
        trained += f", batches of {options.batch_size}"
    return f"{recipe.protocol}; {model}; {trained}"


def _silent(line: str, done: int, total: int) -> None:
    pass

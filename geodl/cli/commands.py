"""The commands that train, prove and measure. Each returns the exit status."""

from collections.abc import Callable
from typing import Any

from geodl.cli.asked import Asked
from geodl.cli.terminal import keep_freed_memory, progress
from geodl.errors import GeodlError

OK, FAILED = 0, 1
PARTS = ("model", "optimizer", "trainer")


def _tour(asked: Asked) -> int:
    from geodl import tour

    return tour.run(asked.values.folder)


def _verify(asked: Asked) -> int:
    from geodl import verify

    with progress() as show:
        rows = verify.run(
            rows=tuple(asked.values.get("rows", ())), progress=lambda row: show(row.claim)
        )
    print(verify.table(rows))
    if "json" in asked.values:
        verify.save(rows, asked.values.json)
    if all(row.passed for row in rows):
        return OK
    return FAILED


def _train(asked: Asked) -> int:
    from geodl.train import RECIPES, run
    from geodl.train.experiment import is_first_process

    if asked.name == "list":
        return _list_recipes()
    recipe, values = RECIPES[asked.name], asked.values
    resume = values.get("resume")
    if resume and "run" in values:
        raise GeodlError("--run with --resume", "a run that has its folder", "leave --run out")
    keep_freed_memory()
    with progress() as show:
        result = run(
            recipe,
            _options(asked),
            seeds=values.get("seeds"),
            folder=values.get("run"),
            resume=resume,
            progress=show,
        )
    if is_first_process():
        print(result)
        if "json" in values:
            result.save(values.json)
    return OK


def _options(asked: Asked) -> Any:
    """The options of a run; of one that is continued its own, and over them what was given: an
    option that was not given differs from none.
    """
    from geodl.train import Options
    from geodl.train.folder import reopen

    if "resume" not in asked.values:
        return Options.from_named(_named(asked.values))
    kept, _ = reopen(asked.values.resume, asked.name)
    return Options.from_named(kept.named() | _named(asked.given))


def _named(values: Any) -> dict[str, Any]:
    """The options of model, optimiser, trainer and batches, as `optimizer.lr`."""
    flat = {}
    for part in PARTS:
        if part in values:
            flat |= {f"{part}.{name}": value for name, value in values[part].as_dict().items()}
    if "batch_size" in values:
        flat["batch_size"] = values.batch_size
    return flat


def _list_recipes() -> int:
    """The recipes with their numbers, the numbers beside them, and how long they take."""
    from geodl.columns import align
    from geodl.train import RECIPES

    lines = [("recipe", "trains", "reaches", "a seed takes")]
    for recipe in RECIPES.values():
        lines.append((recipe.name, recipe.summary, recipe.reached, recipe.duration))
    print(align(lines))
    return OK


def _compare(asked: Asked) -> int:
    from geodl.train.comparison import compare

    print(compare(asked.values.runs))
    return OK


def _explain(asked: Asked) -> int:
    import geodl as g
    from geodl.train import recipe

    wanted = recipe(asked.name)
    model = wanted.build(wanted.options)
    sample = wanted.sample()
    size = sum(parameter.numel() for parameter in model.parameters())
    print(f"{wanted.name}: {wanted.summary}; {size:,} parameters")
    print(str(g.explain(model, *sample)) or "no layer of geodl's in it")
    if len(sample) == 1:
        certificate = g.certify(model, sample[0].domain)
        if certificate.group is not None:
            print(certificate)
    return OK


def _data(asked: Asked) -> int:
    return ACTIONS[asked.name](tuple(asked.values.get("names", ())))


def _list_data(names: tuple[str, ...]) -> int:
    from geodl import data

    for name in data.names():
        print(f"{name:16} {data.card(name).title}")
    return OK


def _get_data(names: tuple[str, ...]) -> int:
    from geodl import data

    for name in names or data.names():
        if not names and data.card(name).when_named:
            print(f"{name}: only when it is named")
            continue
        paths = data.get(name)
        if paths:
            print(f"{name}: {len(paths)} files in {paths[0].parent}")
        else:
            print(f"{name}: nothing to download")
    return OK


def _check_data(names: tuple[str, ...]) -> int:
    from geodl import data

    states = []
    for name in names or data.names():
        optional = not names and data.card(name).when_named
        for path, state in data.check(name):
            if optional and state == "missing":
                continue
            print(f"{name}: {path} {state}")
            states.append(state)
    if not states:
        print("nothing to download")
    if all(state == "ok" for state in states):
        return OK
    return FAILED


def _bench(asked: Asked) -> int:
    from geodl import bench

    with progress() as show:
        rows = bench.run(
            tuple(asked.values.get("rows", ())),
            progress=lambda row: show(f"{row.row}: {row.case}"),
            device=asked.values.device,
        )
    print(bench.table(rows))
    if "json" in asked.values:
        bench.save(rows, asked.values.json)
    if all(row.reached for row in rows):
        return OK
    return FAILED


ACTIONS: dict[str, Callable[[tuple[str, ...]], int]] = {
    "list": _list_data,
    "get": _get_data,
    "check": _check_data,
}
COMMANDS: dict[str, Callable[[Asked], int]] = {
    "tour": _tour,
    "verify": _verify,
    "train": _train,
    "compare": _compare,
    "explain": _explain,
    "data": _data,
    "bench": _bench,
}

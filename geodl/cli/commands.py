"""The commands that train, prove and measure. Each returns the exit status."""

from collections.abc import Callable
from typing import Any

from geodl.cli.terminal import keep_freed_memory, progress
from geodl.errors import GeodlError

OK, FAILED = 0, 1


def _tour(asked: Any) -> int:
    from geodl import tour

    return tour.run(asked.folder)


def _verify(asked: Any) -> int:
    from geodl import verify

    with progress() as show:
        rows = verify.run(rows=tuple(asked.rows), progress=lambda row: show(row.claim))
    print(verify.table(rows))
    if asked.json:
        verify.save(rows, asked.json)
    return OK if all(row.passed for row in rows) else FAILED


def _train(asked: Any) -> int:
    from geodl.train import RECIPES, Optimizer, Options, TrainerOptions, run

    recipe, given = RECIPES[asked.recipe], asked[asked.recipe]
    optimizer, trainer = (
        Optimizer(**given.optimizer.as_dict()),
        TrainerOptions(**given.trainer.as_dict()),
    )
    options = Options(given.model.as_dict(), optimizer, trainer, given.get("batch_size"))
    if given.resume and given.run:
        raise GeodlError("--run with --resume", "a run that has its folder", "leave --run out")
    keep_freed_memory()
    with progress() as show:
        result = run(
            recipe,
            None if given.resume and options == recipe.options else options,
            seeds=given.seeds,
            folder=given.run,
            resume=given.resume,
            progress=show,
        )
    print(result)
    if given.json:
        result.save(given.json)
    return OK


def _explain(asked: Any) -> int:
    import geodl as g
    from geodl.train import recipe

    wanted = recipe(asked.recipe)
    model, sample = wanted.build(wanted.options), wanted.sample()
    print(
        f"{wanted.name}: {wanted.summary}; "
        f"{sum(p.numel() for p in model.parameters()):,} parameters"
    )
    print(str(g.explain(model, *sample)) or "no layer of geodl's in it")
    certificate = g.certify(model, sample[0].domain) if len(sample) == 1 else None
    if certificate is not None and certificate.group is not None:
        print(certificate)
    return OK


def _data(asked: Any) -> int:
    from geodl import data

    if asked.action == "list":
        print("\n".join(f"{name:16} {data.card(name).title}" for name in data.names()))
        return OK
    names = asked[asked.action].names or data.names()
    if asked.action == "get":
        for name in names:
            paths = data.get(name)
            print(
                f"{name}: "
                + (f"{len(paths)} files in {paths[0].parent}" if paths else "nothing to download")
            )
        return OK
    found = [(name, path, state) for name in names for path, state in data.check(name)]
    print(
        "\n".join(f"{name}: {path} {state}" for name, path, state in found) or "nothing to download"
    )
    return OK if all(state == "ok" for _, _, state in found) else FAILED


def _bench(asked: Any) -> int:
    from geodl import bench

    with progress() as show:
        rows = bench.run(
            tuple(asked.rows),
            progress=lambda row: show(f"{row.row}: {row.case}"),
            device=asked.device,
        )
    print(bench.table(rows))
    if asked.json:
        bench.save(rows, asked.json)
    return OK if all(row.reached for row in rows) else FAILED


COMMANDS: dict[str, Callable[[Any], int]] = {
    "tour": _tour,
    "verify": _verify,
    "train": _train,
    "explain": _explain,
    "data": _data,
    "bench": _bench,
}

"""The commands that write with trained models, and draw what they heard.

Each returns the exit status.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from geodl.errors import GeodlError

OK = 0


def _generate(asked: Any) -> int:
    import torch

    from geodl.layer import LearnedPositions
    from geodl.models import generate
    from geodl.train.trained import trained

    if not asked.prompt:
        raise GeodlError(
            "--prompt ''", "nothing to begin with", "leave it out, or give a character at least"
        )
    if asked.count < 1:
        raise GeodlError(f"--count {asked.count}", do="give a number of characters from 1 on")
    if not 0 <= asked.seed < 2**64:
        raise GeodlError(f"--seed {asked.seed}", do="give a number from 0 to 2**64 - 1")
    run = trained(asked.run, ("next token",))
    vocabulary = run.vocabularies["target"]
    tables = [m.length for m in run.model.modules() if isinstance(m, LearnedPositions)]
    found = generate(
        run.model,
        vocabulary.encode(asked.prompt)[None],
        asked.count,
        temperature=asked.temperature,
        top_k=asked.top_k,
        generator=torch.Generator().manual_seed(asked.seed),
        context=min(tables, default=None),
    )
    print(vocabulary.decode(found[0]))
    return OK


def _translate(asked: Any) -> int:
    from geodl.data import UNK, normalized
    from geodl.signal import Signal
    from geodl.train.decoding import LONGEST, greedy
    from geodl.train.trained import trained

    run = trained(asked.run, ("translation", "transduction"))
    source, target = run.vocabularies["source"], run.vocabularies["target"]
    texts = [normalized(text) for text in asked.texts]
    for text in texts:
        ids = source.encode(text)
        unknown = [
            k
            for k, symbol in enumerate(ids.tolist())
            if UNK in source and symbol == source.index(UNK)
        ]
        if unknown or not len(ids):
            found = (
                f"the unknown {text[unknown[0]]!r} at position {unknown[0]}"
                if unknown
                else "nothing"
            )
            raise GeodlError(
                f"a translation of {text!r}",
                found,
                "use the characters of the sentences that were learnt from",
            )
    sources = [Signal.tokens(source.encode(text)[None]) for text in texts]
    written = [
        greedy(run.model, sender, target, max(LONGEST, 2 * sender.x.shape[1]))[0]
        for sender in sources
    ]
    print("\n".join(written))
    if asked.attention:
        _draw_attention(run.model, sources[0], target, texts[0], written[0], asked.attention)
    return OK


def _draw_attention(
    model: Any, source: Any, vocabulary: Any, text: str, written: str, path: Path
) -> None:
    """The picture of what each written character heard."""
    from geodl import viz
    from geodl.data import EOS
    from geodl.signal import Signal

    tokens = vocabulary.framed(written)[None, :-1]
    weights = viz.cross_attention(model, Signal.tokens(tokens), source)
    _save(
        viz.attention(
            weights.mean((0, 1)), list(text), [*written, EOS], title=f"{text} → {written}"
        ),
        path,
    )


def _draw(asked: Any) -> int:
    return PICTURES[asked.picture](asked[asked.picture])


def _draw_lengths(asked: Any) -> int:
    from geodl import viz
    from geodl.train import folder as folders

    curves: dict[str, dict[int, list[float]]] = {}
    for run in asked.runs:
        name = folders.recipe_of(run)
        if not (run / folders.RESULT).is_file():
            raise GeodlError(
                f"the result of {run}",
                "a run that is not finished",
                f"run `geodl train {name} --resume {run}`",
            )
        result = folders.read(run / folders.RESULT)
        known = {
            key.rpartition("-")[2]: metric["values"]
            for key, metric in result["metrics"].items()
            if _by_length(key)
        }
        if not known:
            raise GeodlError(
                f"accuracy against length of {run}",
                f"a run of {name}",
                "give runs of reverse-* or sort-*",
            )
        count = len(result["seeds"])
        label = f"{name}, {result['parameters']:,} parameters, {count} seed{'s' * (count > 1)}"
        if label in curves:
            raise GeodlError(
                f"a picture with {run}", f"another run of {name}", "give each system once"
            )
        curves[label] = {int(length): values for length, values in known.items()}
    _save(viz.lengths(curves), asked.to)
    print(asked.to)
    return OK


def _by_length(metric: str) -> bool:
    name, _, length = metric.rpartition("-")
    return name == "test/accuracy" and length.isdigit()


def _save(figure: Any, path: Path) -> None:
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise GeodlError(
            f"to draw {path}", str(error), "give a file that you can write, as picture.png"
        ) from error


PICTURES = {"lengths": _draw_lengths}
COMMANDS: dict[str, Callable[[Any], int]] = {
    "generate": _generate,
    "translate": _translate,
    "draw": _draw,
}

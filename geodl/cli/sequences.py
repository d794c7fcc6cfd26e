"""The commands that write with trained models, and draw what they did.

Each returns the exit status.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from geodl.cli.asked import Asked
from geodl.cli.figure import save_figure
from geodl.errors import GeodlError

OK = 0
COUNT = 300  # characters, if no number is given
OF_IMAGES = ("to", "epochs", "label")


def _generate(asked: Asked) -> int:
    import torch

    from geodl.cli.generated import draw_images
    from geodl.models import generate
    from geodl.train.trained import trained

    values = asked.values
    if not 0 <= values.seed < 2**64:
        raise GeodlError(f"--seed {values.seed}", do="give a number from 0 to 2**64 - 1")
    run = trained(values.run, ("next token", "adversarial"))
    if run.recipe.task == "adversarial":
        draw_images(run, values, asked.given)
        return OK
    for option in OF_IMAGES:
        if option in values:
            asked_for = f"--{option} with the run {values.run}"
            raise GeodlError(asked_for, "a model of texts", "leave it out")
    prompt = values.get("prompt", "\n")
    if not prompt:
        do = "leave it out, or give a character at least"
        raise GeodlError("--prompt ''", "nothing to begin with", do)
    count = values.get("count", COUNT)
    if count < 1:
        raise GeodlError(f"--count {count}", do="give a number of characters from 1 on")
    vocabulary = run.vocabularies["target"]
    ids = generate(
        run.model,
        vocabulary.encode(prompt)[None],
        count,
        temperature=values.temperature,
        top_k=values.get("top_k"),
        generator=torch.Generator().manual_seed(values.seed),
        context=_longest(run.model),
    )
    print(vocabulary.decode(ids[0]))
    return OK


def _longest(model: Any) -> int | None:
    """How many tokens a model takes at once; None if any number."""
    from geodl.layer import LearnedPositions

    tables = [layer for layer in model.modules() if isinstance(layer, LearnedPositions)]
    return min((table.length for table in tables), default=None)


def _translate(asked: Asked) -> int:
    from geodl.data import normalized
    from geodl.signal import Signal
    from geodl.train.decoding import LONGEST, greedy
    from geodl.train.trained import trained

    run = trained(asked.values.run, ("translation", "transduction"))
    source, target = run.vocabularies["source"], run.vocabularies["target"]
    texts = [normalized(text) for text in asked.values.texts]
    senders = [Signal.tokens(_encode(source, text)[None]) for text in texts]
    answers = []
    for sender in senders:
        longest = max(LONGEST, 2 * sender.x.shape[1])
        (answer,) = greedy(run.model, sender, target, longest)
        print(answer, flush=True)
        answers.append(answer)
    if "attention" in asked.values:
        path = asked.values.attention
        _draw_attention(run.model, senders[0], target, texts[0], answers[0], path)
    return OK


def _encode(vocabulary: Any, text: str) -> Any:
    """The numbers of a text, all of whose characters are known."""
    from geodl.data import UNK

    asked = f"a translation of {text!r}"
    do = "use the characters of the sentences that were learnt from"
    ids = vocabulary.encode(text)
    if not len(ids):
        raise GeodlError(asked, "nothing", do)
    unknown = []
    if UNK in vocabulary:
        unknown = (ids == vocabulary.index(UNK)).nonzero().flatten().tolist()
    if unknown:
        place = unknown[0]
        raise GeodlError(asked, f"the unknown {text[place]!r} at position {place}", do)
    return ids


def _draw_attention(
    model: Any, source: Any, vocabulary: Any, text: str, written: str, path: Path
) -> None:
    """The picture of where each written character attends in the source."""
    from geodl import viz
    from geodl.data import EOS
    from geodl.signal import Signal

    tokens = vocabulary.framed(written)[None, :-1]
    weights = viz.cross_attention(model, Signal.tokens(tokens), source)
    figure = viz.attention(
        weights.mean((0, 1)), list(text), [*written, EOS], title=f"{text} → {written}"
    )
    save_figure(figure, path)


def _draw(asked: Asked) -> int:
    return PICTURES[asked.name](asked)


def _draw_lengths(asked: Asked) -> int:
    from geodl import viz

    curves: dict[str, dict[int, list[float]]] = {}
    for run in asked.values.runs:
        name, label, curve = _curve(run)
        if label in curves:
            asked_for = f"a picture with {run}"
            raise GeodlError(asked_for, f"another run of {name}", "give each system once")
        curves[label] = curve
    path = asked.values.to
    save_figure(viz.lengths(curves), path)
    print(path)
    return OK


def _curve(run: Path) -> tuple[str, str, dict[int, list[float]]]:
    """The recipe of a run, the label of its curve, and its accuracies by length, one a seed."""
    from geodl.train import folder as folders

    name = folders.recipe_of(run)
    folders.check_finished(run, run)
    path = run / folders.RESULT
    result = folders.read_fields(path, "metrics", "seeds", "parameters")
    curve = {}
    try:
        for metric, numbers in result["metrics"].items():
            kind, _, length = metric.rpartition("-")
            if kind == "test/accuracy" and length.isdigit():
                curve[int(length)] = list(numbers["values"])
        count = len(result["seeds"])
        label = f"{name}, {result['parameters']:,} parameters, {count} seed{'s' * (count > 1)}"
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise GeodlError(f"to read {path}", "no result of a run", "run the recipe anew") from error
    if not curve:
        asked = f"accuracy against length of {run}"
        raise GeodlError(asked, f"a run of {name}", "give runs of reverse-* or sort-*")
    return name, label, curve


def _draw_losses(asked: Asked) -> int:
    from geodl.cli.losses import losses

    save_figure(losses(asked.values.runs), asked.values.to)
    print(asked.values.to)
    return OK


def _draw_precision(asked: Asked) -> int:
    from geodl.cli.losses import precision

    save_figure(precision(asked.values.runs), asked.values.to)
    print(asked.values.to)
    return OK


def _draw_neighborhood(asked: Asked) -> int:
    from geodl.cli.graphs import neighborhood

    values = asked.values
    save_figure(neighborhood(values.run, values.node, values.hops), values.to)
    print(values.to)
    return OK


def _draw_smoothing(asked: Asked) -> int:
    from geodl.cli.graphs import smoothing

    save_figure(smoothing(asked.values.runs), asked.values.to)
    print(asked.values.to)
    return OK


def _draw_samples(asked: Asked) -> int:
    from geodl.cli.images import samples

    save_figure(samples(asked.values.runs), asked.values.to)
    print(asked.values.to)
    return OK


def _draw_rotations(asked: Asked) -> int:
    from geodl.cli.images import rotations

    values = asked.values
    save_figure(rotations(values.runs, values.number), values.to)
    print(values.to)
    return OK


def _draw_feature_maps(asked: Asked) -> int:
    from geodl.cli.images import feature_maps

    values = asked.values
    figure = feature_maps(values.run, values.number, values.get("layer"), values.count)
    save_figure(figure, values.to)
    print(values.to)
    return OK


def _draw_deconvolution(asked: Asked) -> int:
    from geodl.cli.images import deconvolution

    values = asked.values
    figure = deconvolution(values.run, values.number, values.get("layer"), values.count)
    save_figure(figure, values.to)
    print(values.to)
    return OK


def _draw_occlusion(asked: Asked) -> int:
    from geodl.cli.images import occlusion

    values = asked.values
    save_figure(occlusion(values.run, values.number, values.size, values.stride), values.to)
    print(values.to)
    return OK


PICTURES: dict[str, Callable[[Asked], int]] = {
    "deconvolution": _draw_deconvolution,
    "feature-maps": _draw_feature_maps,
    "lengths": _draw_lengths,
    "losses": _draw_losses,
    "neighborhood": _draw_neighborhood,
    "occlusion": _draw_occlusion,
    "precision": _draw_precision,
    "rotations": _draw_rotations,
    "samples": _draw_samples,
    "smoothing": _draw_smoothing,
}
COMMANDS: dict[str, Callable[[Asked], int]] = {
    "generate": _generate,
    "translate": _translate,
    "draw": _draw,
}

"""Runs of a detector: repeatable, resumed to the last bit, stopped in words; and its pictures."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import geodl as g
from geodl import GeodlError, viz
from geodl.data import Objects
from geodl.train import RECIPES, Recipe, TrainerOptions, run
from geodl.train.checkpoint import read_checkpoint
from geodl.train.epoch_boxes import boxes_of_epochs
from geodl.train.experiment import Interrupted
from geodl.train.options import Optimizer
from geodl.train.scene_examples import scene_parts
from tests.scenes import data, draw
from tests.test_cli import says
from tests.training import refused, same, stop_at, weights

pytest.importorskip("pycocotools")

EPOCHS = 3


class Diverges(nn.Module):
    """A detector whose boxes are no numbers from a call of training on."""

    def __init__(self, detector, after):
        super().__init__()
        self.detector, self.classes = detector, detector.classes
        self.after, self.calls = after, 0

    def predictions(self, image):
        self.calls += self.training
        predictions = self.detector.predictions(image)
        if self.calls > self.after:
            predictions = predictions._replace(boxes=predictions.boxes * float("nan"))
        return predictions


def detector():
    return g.models.detr(3, queries=9, channels=12, heads=2, encoder_depth=1, hidden=12)


TOY = Recipe(
    name="toy",
    summary="toy",
    task="objects",
    parts=lambda: scene_parts(data(), (8, 5, 12)),
    protocol="toy",
    model=detector,
    sample=lambda: (),
    optimizer=Optimizer(lr=1e-2, schedule="cosine", warmup=1, clip=1.0),
    trainer=TrainerOptions(EPOCHS, accelerator="cpu"),
    batch_size=4,
)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    return run(TOY, folder=tmp_path_factory.mktemp("straight"))


def test_precision_is_reported_for_all_and_for_each_number_of_objects(straight):
    names = {f"test/{kind}" for kind in ("map50", "map", "loss")}
    counts = {int(name.rpartition("-")[2]) for name in straight.values if "map50-" in name}
    assert names <= straight.values.keys() and counts and counts <= {1, 2, 3, 4, 5, 6}
    assert all(0 <= straight.values[f"test/map50-{count}"][0] <= 1 for count in counts)
    text = (straight.folder / "seed-0" / "metrics.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == EPOCHS and {"train/loss", "val/loss", "val/map50"} <= rows[0].keys()


def test_a_resumed_run_is_the_same_to_the_last_bit(straight, tmp_path):
    # Two steps an epoch: the fourth is the last one of the second epoch.
    with pytest.raises(Interrupted):
        run(TOY, folder=tmp_path, progress=stop_at(4))
    resumed = run(TOY, resume=tmp_path)
    assert same(weights(tmp_path), weights(straight.folder))
    assert resumed.values == straight.values
    kept = [
        read_checkpoint(folder / "seed-0" / "last.ckpt", "")
        for folder in (tmp_path, straight.folder)
    ]
    assert kept[0]["callbacks"]["EpochBoxes"] == kept[1]["callbacks"]["EpochBoxes"]


def test_the_boxes_of_each_epoch_are_kept(straight):
    checkpoint = read_checkpoint(straight.folder / "seed-0" / "last.ckpt", "")
    epochs = boxes_of_epochs(checkpoint)
    assert [epoch.number for epoch in epochs] == [1, 2, 3]
    assert all(len(epoch.found) == 4 for epoch in epochs)
    assert epochs[0].found[0].boxes.shape == (9, 4)
    assert not torch.equal(epochs[0].found[0].boxes, epochs[2].found[0].boxes)
    checkpoint["callbacks"].pop("EpochBoxes")
    with pytest.raises(GeodlError, match="none in the checkpoint"):
        boxes_of_epochs(checkpoint)


def test_predictions_that_are_not_finite_stop_a_run_and_say_when(tmp_path):
    broken = replace(TOY, model=lambda: Diverges(detector(), 3))
    kept = tmp_path / "seed-0" / "last.ckpt"
    refused(
        "the loss of seed-0, epoch 2, step 4: found nan",
        f"the last checkpoint before it stays: {kept}",
        act=lambda: run(broken, folder=tmp_path),
    )
    assert read_checkpoint(kept, "")["global_step"] == 2
    assert all(value.isfinite().all() for value in weights(tmp_path).values())


def test_more_objects_than_queries_are_refused_before_a_step(tmp_path):
    few = replace(TOY, model=lambda: g.models.detr(3, queries=1, channels=12, heads=2))
    refused(
        "objects in one scene and 1 queries; build the detector with queries=",
        act=lambda: run(few, folder=tmp_path),
    )


def test_detect_draws_scenes_attention_and_epochs(straight, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(RECIPES, "toy", TOY)
    names = {name: str(tmp_path / f"{name}.png") for name in ("to", "attention", "epochs")}
    files = [word for name, path in names.items() for word in (f"--{name}", path)]
    words = ("detect", str(straight.folder), "--count", "2", "--threshold", "0")
    status, out, err = says(capsys, *words, *files)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["scene 0", "scene 1"]
    assert lines[2:] == list(names.values()) and all(Path(path).exists() for path in names.values())
    first = ("--to", names["to"], "--count", "1", "--seed")
    assert says(capsys, *words, *first, "0")[1].splitlines()[0] == lines[0], "the seed decides"
    assert says(capsys, *words, *first, "1")[1].splitlines()[0] != lines[0]


def test_the_curve_of_a_run_is_drawn_once(straight, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(RECIPES, "toy", TOY)
    run_folder, path = str(straight.folder), str(tmp_path / "curve.png")
    assert says(capsys, "draw", "precision", run_folder, "--to", path) == (0, f"{path}\n", "")
    status, _, err = says(capsys, "draw", "precision", run_folder, run_folder, "--to", path)
    assert status == 2 and "another run of toy, 3 epochs; give each detector once" in err
    (axes,) = viz.precision({"map50": [0.2, 0.5], "map": [0.1, 0.25]}).axes
    assert [list(line.get_ydata()) for line in axes.lines] == [[0.2, 0.5], [0.1, 0.25]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--count", "0"), "--count 0; give a number of scenes from 1 on"),
        (("--threshold", "2"), "--threshold 2.0; give a score from 0 to 1"),
        (("--seed", "-1"), "--seed -1; give a number from 0"),
        (("--attention", "no/where.png"), "no folder to put it in"),
        (("--epochs", "a.png"), "to draw a.png, a.png: found one file for two pictures"),
    ],
)
def test_detect_refuses(straight, words, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(RECIPES, "toy", TOY)
    monkeypatch.chdir(tmp_path)
    status, _, err = says(capsys, "detect", str(straight.folder), "--to", "a.png", *words)
    assert status == 2 and said in err and not (tmp_path / "a.png").exists()


def test_a_run_of_something_else_is_refused(tmp_path, capsys):
    status, _, err = says(capsys, "detect", str(tmp_path), "--to", str(tmp_path / "a.png"))
    assert status == 2 and "no run.json there" in err


def seen(count=9):
    return Objects(torch.zeros(count).long(), torch.rand(count, 4), torch.linspace(0, 1, count))


def test_a_sheet_has_a_box_for_each_object():
    drawn = draw(count=5)
    true = drawn.objects()
    figure = viz.detections(drawn.images, [seen()] * 5, true, threshold=0.6, columns=3)
    assert len(figure.axes) == 5
    for axes, objects in zip(figure.axes, true, strict=True):
        styles = [patch.get_linestyle() for patch in axes.patches]
        assert styles.count("dashed") == len(objects.labels) and styles.count("solid") == 4
    first = figure.axes[0].patches[0].get_bbox()
    x, y, width, height = (64 * true[0].boxes[0]).tolist()
    assert abs(first.x0 + 0.5 - (x - width / 2)) < 1e-3
    assert abs(first.height - height) < 1e-3 and abs(first.width - width) < 1e-3
    assert abs(first.y0 + 0.5 - (y - height / 2)) < 1e-3


def test_the_attention_of_queries_is_that_of_the_layer():
    model = detector().eval()
    image = torch.rand(1, 64, 64)
    figure = viz.query_attention(model, image, seen(), threshold=0.8)
    memory = model.encoder(g.Signal.image(image[None]))
    weights = viz.cross_attention(model.decoder, model.objects(memory), memory)
    assert weights.shape == (3, 2, 9, 64) and len(figure.axes) == 3
    drawn = torch.as_tensor(figure.axes[1].images[1].get_array())
    assert torch.equal(drawn, weights[-1].mean(0)[7].reshape(8, 8))
    surest = viz.query_attention(model, image, seen(), threshold=1.0)
    assert [axes.get_xlabel() for axes in surest.axes] == ["all queries", "query 8"]


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: viz.detections(torch.rand(2, 1, 8, 8), [seen()]), "2 images and 1 of found"),
        (lambda: viz.detections(torch.rand(1, 8, 8), [seen()]), "give images [B, C, H, W]"),
        (lambda: viz.detections(torch.rand(1, 1, 8, 8), [seen()], threshold=2), "from 0 to 1"),
        (lambda: viz.precision({}), "without a curve"),
        (lambda: viz.precision({"map": [0.5, float("nan")]}), "nan for 'map'; give shares"),
        (lambda: viz.query_attention(nn.ReLU(), torch.rand(1, 8, 8), seen()), "give a Detr"),
        (
            lambda: viz.query_attention(detector(), torch.rand(1, 64, 64), seen(4)),
            "give what each of the 9 queries found",
        ),
    ],
)
def test_pictures_that_cannot_be_drawn_are_refused(act, words):
    refused(words, act=act)

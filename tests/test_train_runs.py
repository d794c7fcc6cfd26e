"""Run folders: whose they are, and that a run continues to the last bit."""

import builtins
import json
import sys
from dataclasses import replace

import pytest
import torch

import geodl as g
from geodl.data import ImageData, Rotations, Split
from geodl.train import RECIPES, Optimizer, TrainerOptions, examples, recipe, run
from geodl.train.examples import mixed
from geodl.train.experiment import Interrupted
from geodl.train.parts import image_parts, limited
from geodl.train.restored import TOKENLESS
from geodl.train.tasks import TASKS
from geodl.train.text_parts import caption_parts
from tests.toy_recipes import TOYS
from tests.training import refused, same, short, stop_at, weights

LIGHT = ("parts", "options", "examples", "peer")


@pytest.fixture(scope="module")
def karate(tmp_path_factory):
    return run(
        RECIPES["karate-gcn"], short("karate-gcn", 2), folder=tmp_path_factory.mktemp("karate")
    )


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return run(
        RECIPES["digits-p4cnn"], short("digits-p4cnn", 3), folder=tmp_path_factory.mktemp("digits")
    )


def test_a_run_folder_says_what_ran(digits):
    about = json.loads((digits.folder / "run.json").read_text())
    assert about["recipe"] == "digits-p4cnn"
    assert about["versions"].keys() == {"geodl", "torch", "python", "platform"}
    assert about["options"]["trainer"]["max_epochs"] == 3
    assert "max_epochs: 3" in (digits.folder / "config.yaml").read_text()
    seed = digits.folder / "seed-0"
    assert {path.name for path in seed.iterdir()} == {
        "last.ckpt",
        "best.ckpt",
        "metrics.csv",
        "result.json",
    }
    assert json.loads((seed / "result.json").read_text())["seed"] == 0
    head, *lines = (seed / "metrics.csv").read_text().splitlines()
    assert head == "epoch,step,train/loss,val/loss,val/accuracy"
    assert [line.split(",")[:2] for line in lines] == [["1", "16"], ["2", "32"], ["3", "48"]]


@pytest.mark.parametrize(
    ("name", "epochs", "every"), [("digits-p4cnn", 3, 1), ("karate-gcn", 12, 5)]
)
@pytest.mark.parametrize("when", ["before a checkpoint", "in a later epoch", "test"])
def test_an_interrupted_run_continues_to_the_last_bit(name, epochs, every, when, tmp_path):
    options = short(name, epochs, every)
    steps = 16 if name == "digits-p4cnn" else 1
    call = {"before a checkpoint": 1, "in a later epoch": every * steps + 2, "test": "test"}[when]
    straight = run(RECIPES[name], options, folder=tmp_path / "straight")
    with pytest.raises(Interrupted) as stopped:
        run(RECIPES[name], options, folder=tmp_path / "stopped", progress=stop_at(call))
    assert stopped.value.folder == tmp_path / "stopped"
    assert (tmp_path / "stopped" / "seed-0" / "last.ckpt").exists() == (call != 1)
    again = run(RECIPES[name], resume=tmp_path / "stopped")
    assert same(weights(again.folder), weights(straight.folder))
    assert again.values == straight.values
    files = [folder / "seed-0" / "metrics.csv" for folder in (again.folder, straight.folder)]
    assert files[0].read_text() == files[1].read_text(), "each epoch once, as if nothing happened"


def test_another_order_of_batches_is_another_result(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "mixed", lambda seed, epoch: mixed(seed, epoch + 1))
    other = run(RECIPES["digits-p4cnn"], short("digits-p4cnn", 3), folder=tmp_path)
    assert not same(weights(other.folder), weights(digits.folder))


def test_seeds_that_are_done_are_not_run_again(tmp_path):
    options = short("karate-gcn", 4)
    with pytest.raises(Interrupted):
        run(RECIPES["karate-gcn"], options, folder=tmp_path, seeds=3, progress=stop_at(7))
    kept = (tmp_path / "seed-0" / "result.json").read_bytes()
    lines = []
    run(RECIPES["karate-gcn"], resume=tmp_path, progress=lambda line, *_: lines.append(line))
    assert lines[0] == "karate-gcn: preparing the data"
    assert {line.split(":")[0] for line in lines[1:]} == {"seed 1, 2 of 3", "seed 2, 3 of 3"}
    assert (tmp_path / "seed-0" / "result.json").read_bytes() == kept
    again = run(RECIPES["karate-gcn"], resume=tmp_path, progress=stop_at(1))
    assert len(again.values["test/accuracy"]) == 3


def test_a_run_leaves_the_callers_generators_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(RECIPES["karate-gcn"], short("karate-gcn", 1), folder=tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_bad_options_are_refused_before_anything_is_written(tmp_path):
    karate, digits = RECIPES["karate-gcn"], RECIPES["digits-p4cnn"]
    good = karate.options
    refused("cora-gnc", "did you mean 'cora-gcn'", act=lambda: recipe("cora-gnc"))
    refused("lr=-1", act=lambda: Optimizer(lr=-1))
    refused("weight_decay=nan", act=lambda: Optimizer(lr=1, weight_decay=float("nan")))
    refused("max_epochs=0", act=lambda: TrainerOptions(0))
    refused("batch_size=0", act=lambda: replace(digits.options, batch_size=0))
    home = tmp_path / "run"
    cases = [
        ("hiden", replace(good, model={"hiden": 3})),
        ("batch_size=5", replace(good, batch_size=5)),
        ("learning rate", replace(good, optimizer=Optimizer(lr=None))),
        ("Dropout(2", replace(good, model={"dropout": 2.0})),
    ]
    for word, options in cases:
        refused(word, act=lambda options=options: run(karate, options, folder=home))
    refused("0 seeds", act=lambda: run(karate, folder=home, seeds=0))
    refused(
        "batch_size=None",
        act=lambda: run(digits, replace(digits.options, batch_size=None), folder=home),
    )
    assert not home.exists()


def test_a_folder_is_nobody_elses(karate, tmp_path):
    recipes, one = RECIPES, short("karate-gcn", 1)
    refused("a finished run", "--run", act=lambda: run(recipes["karate-gcn"], folder=karate.folder))
    refused("a run of karate-gcn", act=lambda: run(recipes["digits-p4cnn"], folder=karate.folder))
    refused("a run of karate-gcn", act=lambda: run(recipes["digits-p4cnn"], resume=karate.folder))
    (tmp_path / "letter.txt").write_text("dear")
    refused("not those of a run", act=lambda: run(recipes["karate-gcn"], one, folder=tmp_path))
    refused("no run.json", act=lambda: run(recipes["karate-gcn"], resume=tmp_path))
    refused(
        "Not a directory",
        act=lambda: run(recipes["karate-gcn"], one, folder=tmp_path / "letter.txt" / "run"),
    )
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_fewer_examples_to_learn_from(tmp_path):
    digits, options = RECIPES["digits-p4cnn"], short("digits-p4cnn", 1)

    def of(count):
        return replace(options, trainer=replace(options.trainer, limit_examples=count))

    result = run(digits, of(64), folder=tmp_path / "few")
    assert "learnt from 64 examples only, evenly spread" in result.protocol
    assert (tmp_path / "few" / "seed-0" / "metrics.csv").read_text().splitlines()[1][:4] == "1,1,"
    refused("found 997", act=lambda: run(digits, of(998), folder=tmp_path / "many"))
    karate = RECIPES["karate-gcn"]
    whole = short("karate-gcn", 1)
    whole = replace(whole, trainer=replace(whole.trainer, limit_examples=1))
    refused("as a whole", act=lambda: run(karate, whole, folder=tmp_path / "nodes"))
    refused("limit_examples=0", act=lambda: of(0))
    assert [path.name for path in tmp_path.iterdir()] == ["few"]


@pytest.mark.parametrize("augmentation", [None, Rotations()], ids=["plain", "augmented"])
def test_fewer_images_are_normalised_by_their_own_mean(augmentation):
    """Also where they are changed at random, and those that are tested."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, 40, 1, 4, 4, generator=generator)
    # Images that grow brighter: those that are left out would count.
    images[0] += torch.arange(40)[:, None, None, None]
    train, val, test = (Split(part, torch.arange(40) % 3) for part in images)
    data = ImageData("made", train, val, test, 3)
    parts = limited(image_parts(data, augmentation=augmentation, learnt_too=True), 4)
    kept = torch.tensor([0, 10, 20, 30])
    deviation, mean = torch.std_mean(images[0, kept])
    (learnt, labels), *_ = parts.train.draw(4, None)
    assert torch.allclose(learnt, (images[0, kept] - mean) / deviation)
    assert labels.equal(kept % 3)
    assert parts.val is not None
    for part, split, count in ((parts.val, val, 40), (parts.tests[""], test, 40)):
        (seen, _), *_ = part.draw(None, None)
        assert len(seen) == count and torch.allclose(seen, (split.images - mean) / deviation)
    assert parts.tests["-learnt"].count(1) == 4
    captioned = limited(caption_parts(data), 4)
    (learnt, _), *_ = captioned.train.draw(4, None)
    assert torch.allclose(learnt, (images[0, kept] - mean) / deviation)


def test_a_run_continues_with_its_own_options(tmp_path):
    karate, options = RECIPES["karate-gcn"], short("karate-gcn", 3)
    with pytest.raises(Interrupted):
        run(karate, options, folder=tmp_path, progress=stop_at(2))
    refused("was started", "--resume", act=lambda: run(karate, options, folder=tmp_path))
    refused("seeds=2", "seeds=1", act=lambda: run(karate, resume=tmp_path, seeds=2))
    other = replace(options, model={"hidden": 8, "dropout": 0.5})
    refused("model.hidden=8", "model.hidden=16", act=lambda: run(karate, other, resume=tmp_path))
    assert run(karate, options, resume=tmp_path, seeds=1).metrics


def test_without_lightning_the_advice_is_to_install_it(monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.split(".")[0] == "lightning":
            raise ImportError("none", name="lightning")
        return real(name, *args, **kwargs)

    for name in [
        name
        for name in sys.modules
        if name.startswith("geodl.train.") and ".recipe" not in name and not name.endswith(LIGHT)
    ]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("experiment", "result", "tasks", "classification"):
        monkeypatch.delattr(g.train, name, raising=False)
    monkeypatch.setattr(builtins, "__import__", missing)
    refused("lightning is not installed", 'pip install "geodl[train]"', act=lambda: g.train.run)


def test_every_task_without_tokens_is_known_by_name():
    lettered = {toy.task for toy in TOYS.values() if toy.parts().vocabularies}
    assert set(TOKENLESS) == TASKS.keys() - lettered

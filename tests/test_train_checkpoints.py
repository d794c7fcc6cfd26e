"""What befalls a run: a full disk, a kill, a folder that goes, files that are something else, a
loss that is no number. Each is told in words, and costs nothing that was kept.
"""

import errno
import json
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import geodl as g
from geodl.train import RECIPES, run
from geodl.train.experiment import Interrupted
from tests.test_cli import geodl, says
from tests.toy_recipes import lettered
from tests.training import failing_writes, refused, same, short, stop_at, weights

KARATE = RECIPES["karate-gcn"]
LAST = Path("seed-0", "last.ckpt")


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run of the toy recipe that nothing befell."""
    return run(lettered(epochs=3), folder=tmp_path_factory.mktemp("straight"))


@pytest.fixture
def stopped(tmp_path):
    """A run of the toy recipe that was interrupted in its second epoch, and its checkpoint."""
    with pytest.raises(Interrupted):
        run(lettered(epochs=3), folder=tmp_path, progress=stop_at(7))
    return tmp_path, torch.load(tmp_path / LAST, weights_only=True)


def without_moments(good):
    return [state | {"state": {}} for state in good["optimizer_states"]]


def unfinished(folder):
    return [path for path in folder.rglob("*") if path.name.endswith(".part")]


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt", "metrics.csv", "result.json"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_cannot_be_written_costs_nothing_that_was_kept(
    name, number, straight, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        failing_writes(patch, name, number, after=1 if name != "result.json" else 0)
        refused(
            f"to write {tmp_path / 'seed-0' / name}: found {os.strerror(number)}",
            f"--resume {tmp_path}",
            act=lambda: run(lettered(epochs=3), folder=tmp_path),
        )
    assert unfinished(tmp_path) == []
    kept = torch.load(tmp_path / LAST, weights_only=True)
    assert kept["epoch"] >= 0
    again = run(lettered(epochs=3), resume=tmp_path)
    assert same(weights(again.folder), weights(straight.folder))
    assert again.values == straight.values


@pytest.mark.parametrize("name", ["config.yaml", "vocabulary.json", "run.json"])
def test_a_full_disk_at_the_start_is_told(name, tmp_path, monkeypatch):
    failing_writes(monkeypatch, name, errno.ENOSPC)
    refused("No space left on device", act=lambda: run(lettered(), folder=tmp_path / "run"))
    assert not (tmp_path / "run" / "run.json").exists()
    assert unfinished(tmp_path) == []


def test_checkpoints_are_written_beside_their_place(tmp_path, monkeypatch):
    def elsewhere(*args, **options):
        raise AssertionError("the temporary folder may be on another file system")

    for name in ("mkstemp", "mkdtemp", "NamedTemporaryFile", "TemporaryFile"):
        monkeypatch.setattr(tempfile, name, elsewhere)
    assert run(lettered(epochs=1), folder=tmp_path).values


DIES = """
import os, signal, sys
from geodl.cli import main

real, seen = os.replace, []
def replace(source, target):
    if str(target).endswith("last.ckpt"):
        seen.append(target)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
    real(source, target)
os.replace = replace
sys.exit(main())
"""


def test_a_kill_while_a_checkpoint_is_written_leaves_the_last_one(tmp_path):
    options = ("--trainer.max_epochs", "6", "--trainer.check_val_every_n_epoch", "2")
    command, place = geodl("train", "karate-gcn", *options, "--run", "run", cwd=tmp_path)
    command[2] = DIES
    done = subprocess.run(command, **place, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    home = tmp_path / "run"
    assert len(unfinished(home)) == 1
    assert torch.load(home / LAST, weights_only=True)["epoch"] == 1
    again = run(KARATE, resume=home)
    assert unfinished(home) == []
    whole = run(KARATE, again_options(again), folder=tmp_path / "whole")
    assert same(weights(again.folder), weights(whole.folder))


def again_options(result):
    about = json.loads((result.folder / "run.json").read_text())["options"]
    options = KARATE.options
    return replace(options, trainer=replace(options.trainer, **about["trainer"]))


@pytest.mark.parametrize("what", ["run", "seed"])
def test_a_folder_that_goes_during_a_run_is_told(what, tmp_path):
    home = tmp_path / "run"
    steps = []

    def remove(line, done, total):
        steps.append(line)
        if len(steps) == 8:
            shutil.rmtree(home if what == "run" else home / "seed-0")

    refused(
        "last.ckpt" if what == "file" else "seed-0",
        "No such file or directory",
        act=lambda: run(lettered(epochs=3), folder=home, progress=remove),
    )


@pytest.mark.parametrize(
    "write",
    [
        lambda path, good: path.write_text("dear checkpoint"),
        lambda path, good: path.write_bytes(b""),
        lambda path, good: path.write_bytes(path.read_bytes()[:100]),
        lambda path, good: path.write_bytes(path.read_bytes()[:-100]),
        lambda path, good: torch.save(torch.zeros(3), path),
        lambda path, good: torch.save([1, 2], path),
        lambda path, good: torch.save(torch.nn.Linear(2, 2).state_dict(), path),
        lambda path, good: torch.save(torch.nn.Linear(2, 2), path),
        lambda path, good: torch.save({"state_dict": good["state_dict"]}, path),
        lambda path, good: torch.save(good | {"state_dict": 5}, path),
        lambda path, good: torch.save(good | {"state_dict": {"a": 5}}, path),
        lambda path, good: torch.save(good | {"optimizer_states": [5]}, path),
        lambda path, good: torch.save(good | {"optimizer_states": []}, path),
        lambda path, good: torch.save(good | {"optimizer_states": without_moments(good)}, path),
        lambda path, good: torch.save(good | {"callbacks": {}}, path),
        lambda path, good: torch.save(good | {"loops": {"fit_loop": 5}}, path),
        lambda path, good: torch.save(good | {"callbacks": [1]}, path),
        lambda path, good: torch.save(good | {"pytorch-lightning_version": "x"}, path),
        lambda path, good: (path.unlink(), path.mkdir()),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused(write, stopped):
    home, good = stopped
    write(home / LAST, good)
    refused("last.ckpt", "no checkpoint", act=lambda: run(lettered(epochs=3), resume=home))


def test_the_checkpoint_of_another_run_or_model_is_refused(stopped, straight):
    home, good = stopped
    toy = lettered(epochs=3)
    torch.save(good | {"geodl": {"recipe": "digits-p4cnn", "run": "seed-0"}}, home / LAST)
    refused("digits-p4cnn", "toy", act=lambda: run(toy, resume=home))
    torch.save(good | {"geodl": 5}, home / LAST)
    refused("a checkpoint of something else", act=lambda: run(toy, resume=home))
    (name, weight), *_ = good["state_dict"].items()
    wider = good["state_dict"] | {name: torch.zeros(1, 2, 3)}
    torch.save(good | {"state_dict": wider}, home / LAST)
    refused(name, "(1, 2, 3)", str(tuple(weight.shape)), act=lambda: run(toy, resume=home))
    counted = {key: value.long() for key, value in good["state_dict"].items()}
    torch.save(good | {"state_dict": counted}, home / LAST)
    refused(name, "torch.int64", "torch.float32", act=lambda: run(toy, resume=home))
    torch.save(good, home / LAST)
    assert run(toy, resume=home).values == straight.values


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.json", ""),
        ("run.json", "{}"),
        ("run.json", "[1]"),
        ("run.json", '{"recipe": "toy", "seeds": 1, "options": {"model": 3}}'),
        ("run.json", '{"recipe": "toy", "seeds": 1, "options": null}'),
        ("run.json", '{"recipe": "toy", "seeds": 1, "options": {"model": {}, "optimizer": 5}}'),
        ("vocabulary.json", ""),
        ("vocabulary.json", "[1]"),
        ("vocabulary.json", '{"target": 5}'),
        ("vocabulary.json", '{"target": {"unit": "character", "symbols": ["a"]}}'),
        ("seed-0/result.json", ""),
        ("seed-0/result.json", "{}"),
        ("seed-0/result.json", "null"),
        ("seed-0/result.json", '{"metrics": {}, "seconds": 1.0}'),
    ],
)
def test_a_damaged_file_of_a_run_is_refused(name, text, stopped):
    home, _ = stopped
    (home / name).write_text(text)
    refused(Path(name).name, act=lambda: run(lettered(epochs=3), resume=home))


def test_what_is_no_run_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    for place in (tmp_path, tmp_path / "letter.txt", tmp_path / "none"):
        refused("no run.json there", act=lambda place=place: run(lettered(), resume=place))


class Diverges(torch.nn.Module):
    """A network whose answers, or gradients, or answers in evaluation, are no numbers from a call
    on.
    """

    def __init__(self, call, value, where):
        super().__init__()
        self.inner = lettered().build(lettered().options)
        self.call, self.value, self.where, self.calls = call, value, where, 0

    def forward(self, signal):
        answer = self.inner(signal)
        x = answer.x
        if self.training:
            self.calls += 1
            if self.calls == self.call and self.where == "gradient":
                x.register_hook(lambda gradient: gradient * self.value)
            elif self.calls >= self.call and self.where == "answer":
                x = x * self.value
        elif self.calls >= self.call and self.where == "validation":
            x = x * self.value
        return g.Signal(x, answer.domain)


def strict(path):
    def refuse(name):
        raise AssertionError(f"{path} says {name}, which is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


@pytest.mark.parametrize(
    ("call", "value", "where", "told"),
    [
        (8, float("nan"), "answer", "the loss of seed-0, epoch 2, step 8: found nan"),
        (8, float("inf"), "answer", "the loss of seed-0, epoch 2, step 8: found nan"),
        (10, float("nan"), "gradient", "the weights of seed-0, 10 steps: found model.inner"),
        (10, float("nan"), "validation", "seed-0, the val examples after 10 steps: found nan"),
    ],
)
def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(
    call, value, where, told, tmp_path, monkeypatch, capsys
):
    toy = lettered(epochs=3)
    parts = toy.parts()
    if where == "gradient":  # else validation would see the weights first
        parts = parts._replace(val=None)
    broken = replace(toy, parts=lambda: parts, model=lambda: Diverges(call, value, where))
    monkeypatch.setitem(RECIPES, "toy", broken)
    home, result = tmp_path / "run", tmp_path / "result.json"
    status, out, err = says(capsys, "train", "toy", "--run", str(home), "--json", str(result))
    assert (status, out) == (2, "")
    assert told in err
    assert "lower optimizer.lr" in err
    assert f"the last checkpoint before it stays: {home / LAST}" in err
    kept = torch.load(home / LAST, weights_only=True)
    assert (kept["epoch"], kept["global_step"]) == (0, 5)
    assert all(torch.isfinite(value).all() for value in kept["state_dict"].values())
    assert not result.exists()
    assert {path.name for path in home.rglob("*.json")} == {"run.json", "vocabulary.json"}
    assert all(strict(path) for path in home.rglob("*.json"))


def test_a_loss_that_is_no_number_at_once_promises_no_checkpoint(tmp_path):
    toy = lettered(epochs=3)
    broken = replace(toy, model=lambda: Diverges(1, float("nan"), "answer"))
    refused(
        "epoch 1, step 1: found nan",
        "no checkpoint was written before it",
        act=lambda: run(broken, folder=tmp_path),
    )
    assert not (tmp_path / LAST).exists()


def test_an_option_that_was_not_given_is_not_blamed(tmp_path, monkeypatch, capsys):
    home = str(tmp_path / "run")
    words = ("train", "karate-gcn", "--trainer.accelerator", "cpu", "--run", home)
    changed = ("--trainer.max_epochs", "2", "--optimizer.lr", "0.02")
    assert says(capsys, *words, *changed)[0] == 0
    resume = ("train", "karate-gcn", "--resume", home)
    assert says(capsys, *resume)[0] == 0
    assert says(capsys, *resume, "--optimizer.lr", "0.02")[0] == 0
    status, _, err = says(capsys, *resume, "--trainer.max_epochs", "3")
    assert status == 2
    assert "with trainer.max_epochs=3: found a run with trainer.max_epochs=2" in err
    status, _, err = says(capsys, *resume, "--model.hidden", "8", "--optimizer.lr", "0.02")
    assert (status, "model.hidden=8" in err, "optimizer.lr" in err) == (2, True, False)
    status, _, err = says(capsys, *resume, "--seeds", "2")
    assert (status, "seeds=2: found a run with seeds=1" in err) == (2, True)


def test_short_runs_of_karate_give_whole_json(tmp_path):
    run(KARATE, short("karate-gcn", 1), folder=tmp_path)
    assert all(strict(path) for path in tmp_path.rglob("*.json"))

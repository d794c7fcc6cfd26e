"""Our data, batches and tasks under Lightning as a user has it: everything moves, nothing asks for
a class of ours, and devices and strategy go to Lightning as they are.
"""

import subprocess
import warnings
from dataclasses import is_dataclass, replace
from typing import Any

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import geodl as g
from geodl import data
from geodl.train import RECIPES, ImageClassification, Optimizer, TrainerOptions, examples, run
from geodl.train.examples import Batches, Nodes, Rows
from tests.test_cli import geodl
from tests.toy_recipes import TOYS, images, lettered, sentences, text, translations
from tests.training import refused, short

NOWHERE = torch.device("meta")  # a device that is not where the data are
CLUB = data.karate()
DENSE = g.Signal(torch.randn(2, 4, 3), g.Grid(2, 2))
PATHS = data.GraphData("paths", DENSE, torch.tensor([0]), 1)
LINKS = data.split_links(CLUB.signal)
DIGITS = data.Split(torch.rand(3, 1, 28, 28), torch.arange(3))
BATCHES: dict[str, Any] = {
    "a Signal on a grid": DENSE,
    "a dictionary of Signals": {"source": DENSE, "target": (DENSE, torch.zeros(2))},
    "NodeData": CLUB,
    "ImageData": images(),
    "Split": images().train,
    "TextData": text(),
    "PairData": translations(),
    "Translations": translations().train,
    "SentenceData": sentences(),
    "Sentences": sentences().train,
    "Vocabulary": text().vocabulary,
    "Truecase": data.truecase("Tom"),
    "Spelled": data.spelled(torch.tensor([3, 1])),
    "Sequences": data.reversal(2),
    "GraphData": data.GraphData("paths", DENSE, torch.tensor([0]), 1),
    "GraphSplits": data.GraphSplits("paths", PATHS, PATHS, PATHS),
    "LinkData": LINKS,
    "NodePairs": LINKS.test,
    "CloudData": data.solids(4),
    "WaveData": data.tones(100),
    "Waves": data.tones(100).train,
    "Clouds": data.solids(4).train,
    "Regions": data.Regions(g.relation([[0], [1]], senders=2, receivers=2), g.Graph([[0], [1]], 2)),
}
DRAWN = data.scenes(DIGITS, 2)
BATCHES |= {"Scenes": DRAWN, "Objects": DRAWN.objects()[0]}
for name, toy in TOYS.items():
    BATCHES[f"a batch of {name}"] = next(iter(Batches(toy.parts().train, 2, seed=0)))


class Plain(L.LightningModule):
    """Lightning's own way to move a batch."""


def tensors(value: Any) -> list[torch.Tensor]:
    """All tensors in a value, however deep."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, g.Signal):
        return [value.x, *value.domain.tensors()]
    if isinstance(value, dict):
        return [found for inner in value.values() for found in tensors(inner)]
    if is_dataclass(value):
        return [
            found for name in value.__dataclass_fields__ for found in tensors(getattr(value, name))
        ]
    if isinstance(value, list | tuple):
        return [found for inner in value for found in tensors(inner)]
    return []


@pytest.mark.parametrize("name", sorted(BATCHES))
def test_lightning_moves_what_the_data_room_gives(name):
    batch = BATCHES[name]
    here = Plain().transfer_batch_to_device(batch, torch.device("cpu"), 0)
    assert type(here) is type(batch)
    assert all(torch.equal(a, b) for a, b in zip(tensors(here), tensors(batch), strict=True))
    there = Plain().transfer_batch_to_device(batch, NOWHERE, 0)
    assert type(there) is type(batch)
    assert {found.device for found in tensors(there)} <= {NOWHERE}
    assert len(tensors(there)) == len(tensors(batch))


def test_every_record_of_the_data_room_was_moved():
    records = {
        name
        for name in data.__all__
        if isinstance(getattr(data, name), type)
        and (is_dataclass(getattr(data, name)) or hasattr(getattr(data, name), "_fields"))
    }
    no_data = {"Card", "File", "FlipsAndShifts", "Rotations", "Shifts"}
    assert records - no_data == {name for name in BATCHES if " " not in name}


def test_nodes_that_are_there_are_not_copied():
    nodes = Nodes(CLUB.signal, torch.tensor([0]), torch.tensor([1]))
    moved = Plain().transfer_batch_to_device(nodes, torch.device("cpu"), 0)
    assert moved is nodes, "another graph would be planned for anew at every step"


def test_a_task_takes_a_trainer_and_loaders_of_the_users_own(tmp_path):
    split = images().train
    loader = DataLoader(TensorDataset(split.images, split.labels), batch_size=3)
    task = ImageClassification(g.models.digits_cnn(channels=2), Optimizer(lr=0.01))
    before = [parameter.clone() for parameter in task.parameters()]
    trainer = L.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's, on loaders and on torch's deprecations
        trainer.fit(task, loader, loader)
    assert any(not torch.equal(a, b) for a, b in zip(before, task.parameters(), strict=True))
    assert {"train/loss", "val/loss", "val/accuracy"} <= trainer.callback_metrics.keys()


def test_devices_and_strategy_go_to_lightning_as_they_are(tmp_path, monkeypatch):
    given = []
    real = L.Trainer.__init__

    def init(self, **options):
        given.append((options["devices"], options["strategy"]))
        real(self, **options | {"devices": 1, "strategy": "auto"})

    monkeypatch.setattr(L.Trainer, "__init__", init)
    toy = lettered(epochs=1)
    for devices, strategy in ((1, "auto"), ("auto", "ddp"), ([0], "fsdp")):
        trainer = replace(toy.trainer, devices=devices, strategy=strategy)
        run(toy, replace(toy.options, trainer=trainer), folder=tmp_path / strategy)
    assert given == [pair for pair in ((1, "auto"), ("auto", "ddp"), ([0], "fsdp")) for _ in "12"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"strategy": "dpd"}, "strategy dpd"),
        ({"devices": "many"}, "devices many"),
        ({"accelerator": "gpu", "devices": 99}, "devices 99"),
    ],
)
def test_what_lightning_cannot_do_here_is_told_before_anything_is_written(changed, told, tmp_path):
    toy = lettered()
    options = replace(toy.options, trainer=TrainerOptions(1, **{"accelerator": "cpu"} | changed))
    refused(told, "lacks", act=lambda: run(toy, options, folder=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_several_devices_need_a_folder_and_more_than_one_batch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    toy = lettered()
    two = replace(toy.options, trainer=replace(toy.trainer, devices=2))
    refused("toy on 2 devices", "--run", act=lambda: run(toy, two))
    options = short("karate-gcn", 1)
    two = replace(options, trainer=replace(options.trainer, devices=2))
    refused("one batch", "devices 1", act=lambda: run(RECIPES["karate-gcn"], two, folder=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_processes_share_the_batches_of_an_epoch(monkeypatch):
    order = Batches(Rows(torch.arange(11)), 2, seed=3)
    alone = [rows.tolist() for (rows,) in order]
    shared = []
    for rank in range(2):
        process = examples.Process(rank, 2)
        monkeypatch.setattr(examples, "process", lambda process=process: process)
        assert len(order) == 3
        shared.append([rows.tolist() for (rows,) in order])
        assert len(Batches(Rows(torch.arange(11)), 2)) == 6, "all processes evaluate everything"
    assert [batch for pair in zip(*shared, strict=True) for batch in pair] == alone
    odd = Batches(Rows(torch.arange(9)), 2, seed=3)
    assert len(odd) == len(list(odd)) == 2, "the fifth of five batches is left out"


def test_a_trial_takes_few_batches(tmp_path):
    toy = lettered(epochs=1)
    steps = []
    options = replace(toy.options, trainer=replace(toy.trainer, limit_batches=2))
    result = run(toy, options, folder=tmp_path, progress=lambda line, *_: steps.append(line))
    assert len([line for line in steps if "epoch" in line]) == 2
    assert "a trial of at most 2 batches of each part" in result.protocol


def test_two_processes_train_one_model(tmp_path):
    words = ("--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.accelerator", "cpu")
    command, place = geodl(
        *("train", "digits-p4cnn", "--trainer.max_epochs", "1", "--run", "run", *words),
        cwd=tmp_path,
    )
    script = tmp_path / "geodl_main.py"  # Lightning starts its processes from a file
    script.write_text(command[2])
    command = [command[0], str(script), *command[3:]]
    place["env"] |= {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, **place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("kept in run") == 1, "one process prints"
    lines = (tmp_path / "run" / "seed-0" / "metrics.csv").read_text().splitlines()
    assert lines[1].split(",")[:2] == ["1", "8"], "half of 16 steps each"

"""Recipes learn, and give numbers with their protocol."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import geodl as g
from geodl.train import RECIPES, Optimizer, Options, run
from geodl.train.classification import ImageClassification, NodeClassification
from geodl.train.examples import Batches, Nodes, Rows
from geodl.train.parts import image_parts
from geodl.train.result import Result
from tests.training import short


@pytest.fixture(scope="module")
def karate(tmp_path_factory):
    return run(RECIPES["karate-gcn"], folder=tmp_path_factory.mktemp("karate"), seeds=2)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return run(
        RECIPES["digits-p4cnn"], short("digits-p4cnn", 3), folder=tmp_path_factory.mktemp("digits")
    )


def test_karate_is_learnt_from_two_members(karate):
    assert karate.metrics["test/accuracy"]["mean"] > 0.85
    assert karate.seeds == (0, 1)
    assert karate.parameters == 34 * 16 + 16 + 16 * 2 + 2


def test_digits_learnt_upright_are_known_turned(digits):
    values = {name: metric["mean"] for name, metric in digits.metrics.items()}
    assert values["test/accuracy"] > 0.9
    assert values["test/accuracy-rotated"] == pytest.approx(values["test/accuracy"], abs=1e-3)
    assert values["test/error"] == pytest.approx(1 - values["test/accuracy"])
    assert {
        "val/accuracy",
        "val/error",
        "val/loss",
        "test/loss",
        "test/error-rotated",
    } <= values.keys()


def test_a_plain_cnn_does_not_know_them_turned(tmp_path):
    plain = replace(RECIPES["digits-p4cnn"], model=g.models.digits_cnn, settings={"channels": 10})
    values = run(plain, short("digits-p4cnn", 3), folder=tmp_path).metrics
    assert values["test/accuracy"]["mean"] > 0.9
    assert values["test/accuracy-rotated"]["mean"] < 0.6


def test_the_result_names_protocol_and_paper(digits, tmp_path):
    text = str(digits)
    assert "protocol: 997 upright images to learn from" in text
    assert "Adam one-cycle, lr 0.01, 3 epochs, batches of 64" in text
    assert "paper: no published number" in text
    digits.save(tmp_path / "result.json")
    kept = json.loads((tmp_path / "result.json").read_text())
    assert {"recipe", "protocol", "seeds", "metrics", "seconds", "parameters"} <= kept.keys()
    assert kept["metrics"]["test/accuracy"].keys() == {"mean", "std", "values"}
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_mean_and_sample_deviation():
    values = {"test/accuracy": [0.8, 0.9], "test/loss": [1.0, 3.0]}
    result = Result("r", "d", "p", "81.5 %", (0, 1), values, 1.0, 10, {}, (), Path("runs"))
    assert result.metrics["test/loss"] == {
        "mean": 2.0,
        "std": pytest.approx(2**0.5),
        "values": [1.0, 3.0],
    }
    assert "85.00 +- 7.07 %  (sample standard deviation; 80.00 90.00)" in str(result)
    assert replace(result, values={"test/loss": [1.0]}).metrics["test/loss"]["std"] == 0.0


def test_the_best_learning_rate_is_searched_on_validation_images(tmp_path):
    base = RECIPES["digits-p4cnn"]
    searching = replace(
        base,
        optimizer=replace(base.optimizer, lr=None),
        search=(1e-5, 1e-2),
        search_parts=base.parts,
        parts=lambda: image_parts(g.data.digits(), merge=True),
    )
    result = run(searching, short("digits-p4cnn", 1, lr=None), folder=tmp_path)
    assert result.search["lr"] == 1e-2
    assert result.search["val/error"]["0.01"] < result.search["val/error"]["1e-05"]
    assert (
        "test/error"
        not in json.loads((tmp_path / "search-lr-0.01" / "result.json").read_text())["metrics"]
    )
    assert "learning rate 0.01, the best on the validation examples with seed 0 (1e-05: " in str(
        result
    )
    assert "lr 0.01" in result.protocol
    assert "val/error" not in result.metrics
    assert json.loads((tmp_path / "result.json").read_text())["search"]["lr"] == 1e-2


def test_parts_are_normalised_by_what_is_learnt_from():
    data = g.data.digits()
    cut = image_parts(data, merge=True, turned=True)
    images, labels = cut.train.tensors
    assert len(labels) == 997 + 300
    assert cut.val is None
    assert float(images.mean()) == pytest.approx(0, abs=1e-5)
    assert float(images.std()) == pytest.approx(1, abs=1e-5)
    turned, upright = (cut.tests[suffix].tensors[0] for suffix in ("-rotated", ""))
    assert turned.shape == (1500, 1, 8, 8)
    assert torch.equal(turned[:500], upright.rot90(1, (2, 3)))
    assert len(image_parts(data).train.tensors[1]) == 997


def test_each_epoch_has_its_own_order_and_every_example_once():
    order = Batches(Rows(torch.arange(10)), 4, seed=3)
    epochs = []
    for epoch in (0, 1, 0):
        order.epoch = epoch
        epochs.append([rows.tolist() for (rows,) in order])
    assert epochs[0] == epochs[2] != epochs[1]
    assert [len(batch) for batch in epochs[0]] == [4, 4, 2]
    assert sorted(example for batch in epochs[0] for example in batch) == list(range(10))
    assert len(order) == 3
    assert [rows.tolist() for (rows,) in Batches(Rows(torch.arange(3)), 2)] == [[0, 1], [2]]


def test_batches_are_whole_pieces_of_the_tensors():
    split = Rows(torch.arange(6.0).reshape(6, 1, 1, 1), torch.arange(6))
    images, labels = next(iter(Batches(split, 4)))
    assert images.flatten().tolist() == labels.tolist() == [0, 1, 2, 3]
    assert len(Batches(split, 4)) == 2


@pytest.mark.parametrize("decayed", ["all", "first", "matrices"])
def test_weight_decay_falls_on_the_layers_it_is_meant_for(decayed):
    model = g.models.gcn(3, 4, 2)
    task = NodeClassification(model, Optimizer(lr=0.1, weight_decay=0.5, decayed=decayed))
    groups = task.configure_optimizers().param_groups
    penalised = {id(p) for group in groups for p in group["params"] if group["weight_decay"] == 0.5}
    first = {id(p) for p in model[1].parameters()}
    matrices = {id(p) for p in model.parameters() if p.dim() > 1}
    assert (
        penalised
        == {"first": first, "all": {id(p) for p in model.parameters()}, "matrices": matrices}[
            decayed
        ]
    )
    assert sum(len(group["params"]) for group in groups) == 4


def test_tasks_read_their_batches():
    signal = g.Signal(torch.randn(1, 3, 2), g.Graph([[0, 1], [1, 2]], 3))
    nodes = NodeClassification(g.models.mlp(2, 2), Optimizer(lr=0.1))
    scores, labels = nodes.read(Nodes(signal, torch.tensor([2, 0]), torch.tensor([1, 0])))
    assert torch.equal(scores, nodes.model(signal).x[0, [2, 0]])
    assert labels.tolist() == [1, 0]
    images = ImageClassification(g.models.digits_cnn(), Optimizer(lr=0.1)).eval()
    assert images.read((torch.randn(5, 1, 8, 8), torch.zeros(5)))[0].shape == (5, 10)


def test_bf16_by_flag(tmp_path):
    options = short("digits-p4cnn", 1)
    options = replace(options, trainer=replace(options.trainer, precision="bf16-mixed"))
    result = run(RECIPES["digits-p4cnn"], options, folder=tmp_path)
    assert result.metrics["test/accuracy"]["mean"] > 0.7
    assert "bf16-mixed" in result.protocol


def test_bf16_with_sparse_features():
    graph = g.Graph([[0, 1, 2], [1, 2, 0]], 3)
    x = torch.tensor([[0.0, 1, 0, 2], [3, 0, 0, 0], [0, 0, 4, 0]])
    layer = g.Conv(4, 2, g.adjacency("sym", self_loops=True))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        dense, sparse = (
            layer(g.Signal(x[None], graph)).x,
            layer(g.Signal(x.to_sparse_csr(), graph)).x,
        )
    assert torch.allclose(dense.float(), sparse.float(), atol=5e-2)


def test_cora_in_a_few_epochs(data_root, tmp_path):
    result = run(RECIPES["cora-gcn"], short("cora-gcn", 30, every=20), folder=tmp_path)
    assert result.metrics["test/accuracy"]["mean"] > 0.6
    assert result.parameters == 1433 * 16 + 16 + 16 * 7 + 7
    assert "81.5 %" in str(result)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_are_whole(name):
    found = RECIPES[name]
    assert found.name == name
    assert isinstance(found.options, Options)
    assert (found.optimizer.lr is None) == bool(found.search)
    assert (found.batch_size is None) == (found.task in ("nodes", "links"))
    assert found.protocol
    assert found.paper


def test_what_was_evaluated_in_inference_mode_can_be_trained():
    layer, signal = (
        g.Attention(4, g.window(3, axes=1), heads=2, relative=True),
        g.Signal.sequence(torch.randn(1, 11, 4)),
    )
    with torch.inference_mode():
        layer(signal)
    layer(signal).x.sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())

"""Recipes on nodes, links, graphs and clouds of points: what they see, and what befalls them."""

from dataclasses import replace

import pytest
import torch

import geodl as g
from geodl import data
from geodl.train import RECIPES, Optimizer, TrainerOptions, run
from geodl.train.classification import GraphClassification
from geodl.train.examples import Batches
from geodl.train.experiment import Interrupted
from geodl.train.graph_examples import Links
from geodl.train.links import LinkPrediction
from geodl.train.minimization import layers_of
from geodl.train.parts import cloud_parts, fold_parts, link_parts, node_parts
from geodl.train.recipes.links import CORA_LINK
from geodl.train.trained import trained
from tests.toy_recipes import lettered
from tests.training import refused, same, short, stop_at, weights

KARATE = data.karate()


def small_graphs(count=40, num_classes=2):
    """Rings of 3 to 6 nodes, whose class is whether their number is odd."""
    sizes = [3 + k % 4 for k in range(count)]
    signals = []
    for size in sizes:
        ring = torch.arange(size)
        graph = g.Graph(torch.stack((ring, (ring + 1) % size)), size)
        signals.append(g.Signal(torch.ones(1, size, 2), graph))
    store = data.GraphLoader(signals).store
    labels = torch.arange(count) % num_classes
    return data.GraphData("rings", store, labels, num_classes)


def whole_karate():
    """The club, with members to validate on: every third."""
    third = torch.arange(34) % 3 == 0
    return replace(KARATE, val=third & KARATE.test, test=KARATE.test & ~third)


def chosen(examples):
    return set(examples.chosen.tolist())


def test_folds_share_no_graph_and_every_graph_is_tested_once():
    graphs = small_graphs()
    tested = []
    for seed in range(10):
        parts = fold_parts(graphs, seed)
        train, val, test = chosen(parts.train), chosen(parts.val), chosen(parts.tests[""])
        assert not (train & val or train & test or val & test)
        assert train | val | test == set(range(40))
        assert graphs.labels[sorted(test)].bincount().tolist() == [2, 2]
        tested += sorted(test)
    assert sorted(tested) == list(range(40))
    assert chosen(fold_parts(graphs, 10).tests[""]) != chosen(fold_parts(graphs, 0).tests[""])


def test_each_seed_has_its_own_fold(tmp_path):
    seen = []
    recipe = replace(
        RECIPES["karate-gcn"],
        name="rings",
        task="graphs",
        model=lambda: g.Sequential(g.Readout("sum"), torch.nn.Linear(2, 2)),
        sizes={},
        settings={},
        batch_size=8,
        parts=lambda: fold_parts(small_graphs(), 0),
        folds=lambda seed: seen.append(seed) or fold_parts(small_graphs(), seed),
        trainer=replace(short("karate-gcn", 2).trainer, weights="best"),
    )
    result = run(recipe, seeds=3, folder=tmp_path)
    assert seen == [0, 1, 2]
    assert len(result.values["test/accuracy"]) == 3
    assert "weights of the least validation loss" in result.protocol


def test_batches_of_graphs_have_each_graph_once():
    graphs = small_graphs()
    train = fold_parts(graphs, 0).train.to(torch.device("cpu"))
    epoch = list(Batches(train, 8, seed=0))
    assert len(epoch) == len(Batches(train, 8, seed=0)) == 4
    assert sum(signal.domain.num_members for signal, _ in epoch) == 32
    labels = torch.cat([labels for _, labels in epoch])
    assert labels.bincount().tolist() == graphs.labels[train.chosen].bincount().tolist()
    assert train.to(torch.device("cpu")) is train
    evaluated = torch.cat([labels for _, labels in Batches(train)])
    assert torch.equal(evaluated, graphs.labels[train.chosen])
    task = GraphClassification(g.Readout("mean"), Optimizer(lr=0.1))
    scores, classes = task.read(epoch[0])
    assert scores.shape == (8, 2) and torch.equal(classes, epoch[0][1])


def test_clouds_stand_side_by_side():
    clouds = data.solids(8)
    parts = cloud_parts(clouds)
    signal, labels = next(iter(Batches(parts.train, 5)))
    assert signal.domain.sizes == (8,) * 5
    assert torch.equal(signal.x.reshape(5, 8, 3), clouds.train.points[:5])
    assert torch.equal(labels, clouds.train.labels[:5])
    assert len(Batches(parts.train, 300, seed=0)) == 3


def test_links_are_learnt_beside_new_pairs_each_epoch():
    parts = link_parts(data.split_links(KARATE.signal, val=0.1, test=0.2))
    batches = Batches(parts.train, None, seed=0)
    (first,) = batches
    batches.set_epoch(1)
    (second,) = batches
    known = parts.train.given.pairs
    assert torch.equal(first.given.pairs[:, :56], known)
    assert first.given.labels.tolist() == [1] * 56 + [0] * 56
    assert not torch.equal(first.given.pairs, second.given.pairs)
    (val,), (again,) = Batches(parts.val), Batches(parts.val)
    assert val is again and val.to(torch.device("cpu")) is val


def test_scores_of_links():
    signal = g.Signal(torch.tensor([[[1.0, 0], [2, 0], [0, 3]]]), g.Graph([[0, 1], [1, 0]], 3))
    given = data.NodePairs(torch.tensor([[0, 0], [1, 2]]), torch.tensor([1, 0]))
    task = LinkPrediction(g.Sequential(), Optimizer(lr=0.1))
    scores, labels = task.read(Links(signal, given))
    assert scores.tolist() == [[0, 2], [0, 0]] and labels.tolist() == [1, 0]
    logged = {}
    task.log = lambda name, value, batch_size: logged.update({name: float(value)})
    # The logistic function of both is 1, in double precision, too.
    task.judge("val", None, torch.tensor([[0, 60.0], [0, 50.0]]), torch.tensor([1, 0]))
    assert logged == {"val/auc": 1.0, "val/ap": 1.0}


def test_links_of_the_karate_club_are_told_from_others(tmp_path):
    recipe = replace(
        CORA_LINK,
        name="karate-link",
        parts=lambda: link_parts(data.split_links(KARATE.signal, val=0.1, test=0.2)),
        sizes={"features": 34, "library": "geodl"},
    )
    result = run(
        recipe,
        replace(CORA_LINK.options, trainer=TrainerOptions(60, accelerator="cpu")),
        folder=tmp_path,
    )
    assert {"test/auc", "test/ap", "test/loss", "val/auc"} <= result.values.keys()
    assert result.metrics["test/auc"]["mean"] > 0.6


def test_the_layers_of_a_model_own_what_is_inside_of_them():
    pytest.importorskip("torch_geometric")
    from torch_geometric.nn import GCNConv

    model = torch.nn.ModuleList([GCNConv(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)])
    assert [len(layer) for layer in layers_of(model)] == [2, 2]


def test_decay_of_the_inner_layers_and_of_the_others():
    model = g.models.mlp(3, 4, 4, 2)
    asked = Optimizer(lr=0.1, weight_decay=0.5, decayed="inner", others_decay=0.25)
    groups = LinkPrediction(model, asked).configure_optimizers().param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    found = [[decay[id(p)] for p in layer] for layer in layers_of(model)]
    assert found == [[0.25, 0.25], [0.5, 0.5], [0.25, 0.25]]
    assert "weight decay 0.25 on the others" in str(asked)
    refused("others_decay", "weight_decay", act=lambda: Optimizer(lr=0.1, others_decay=0.1))


def best_of(epochs, **trainer):
    """The recipe of the karate club with weights that validation chooses."""
    recipe = replace(RECIPES["karate-gcn"], parts=lambda: node_parts(whole_karate()))
    options = short("karate-gcn", epochs, lr=0.2)
    return recipe, replace(options, trainer=replace(options.trainer, weights="best", **trainer))


def test_the_best_weights_are_reported(tmp_path):
    recipe, options = best_of(30)
    result = run(recipe, options, folder=tmp_path)
    rows = (tmp_path / "seed-0" / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("val/loss")
    losses = [float(row.split(",")[column]) for row in rows[1:]]
    assert len(losses) == 30 and losses[-1] > min(losses)
    assert result.values["val/loss"] == [pytest.approx(min(losses), abs=1e-6)]


def test_the_model_of_a_run_has_the_weights_that_it_reports(tmp_path, monkeypatch):
    recipe = replace(lettered(), trainer=replace(lettered().trainer, weights="best"))
    run(recipe, folder=tmp_path)
    monkeypatch.setitem(RECIPES, "toy", recipe)
    last = tmp_path / "seed-0" / "last.ckpt"
    last.unlink()
    best = torch.load(tmp_path / "seed-0" / "best.ckpt", weights_only=True)["state_dict"]
    kept = trained(tmp_path, ("next token",)).model.state_dict()
    assert all(torch.equal(kept[name], best[f"model.{name}"]) for name in kept)


def test_training_stops_where_validation_gains_nothing(tmp_path):
    recipe, options = best_of(200, patience=10)
    straight = run(recipe, options, folder=tmp_path / "a")
    rows = (tmp_path / "a" / "seed-0" / "metrics.csv").read_text().splitlines()
    assert 11 < len(rows) - 1 < 200
    assert "patience 10" in straight.protocol
    with pytest.raises(Interrupted):
        run(recipe, options, folder=tmp_path / "b", progress=stop_at("test"))
    again = run(recipe, resume=tmp_path / "b")
    assert again.values == straight.values
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_what_is_chosen_by_validation_needs_one(tmp_path):
    recipe, options = best_of(3, check_val_every_n_epoch=5)
    refused("no validation in 3 epochs", act=lambda: run(recipe, options, folder=tmp_path))
    recipe = replace(recipe, parts=lambda: node_parts(KARATE))
    refused("no examples to validate on", act=lambda: run(recipe, options, folder=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_report_on_is_refused():
    nobody = torch.zeros(34, dtype=torch.bool)
    refused("the test nodes", "nobody", act=lambda: node_parts(replace(KARATE, test=nobody)))

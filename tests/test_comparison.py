"""Finished runs side by side: the numbers are those of the runs, and the counts those of models."""

import json
import shutil
from dataclasses import replace

import pytest

from geodl.inspection import multiply_adds
from geodl.train import comparison, recipe, run
from tests.test_cli import here, says
from tests.training import short

__all__ = ["here"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A network on images, and two seeds of one on a graph."""
    folders = {}
    for name, epochs, seeds in (("digits-cnn", 3, 1), ("karate-gcn", 2, 2)):
        folders[name] = tmp_path_factory.mktemp("runs") / name
        options = short(name, epochs)
        trainer = replace(options.trainer, limit_batches=1)
        run(recipe(name), replace(options, trainer=trainer), folder=folders[name], seeds=seeds)
    return folders


def test_the_table_has_the_numbers_of_the_runs(runs, here, capsys):
    digits, karate = map(str, runs.values())
    status, out, err = says(capsys, "compare", digits, karate, digits)
    assert (status, err) == (0, "")
    head, first, second, third = out.splitlines()
    assert head.split()[:4] == ["recipe", "parameters", "multiply-adds", "epochs"]
    assert first == third
    found = recipe("digits-cnn")
    count = multiply_adds(found.build(found.options), *found.sample())
    result = json.loads((runs["digits-cnn"] / "result.json").read_text())
    error = f"{100 * result['metrics']['test/error']['mean']:.2f}"
    name, parameters, multiplied, epochs, seconds, *errors = first.split()
    assert (name, parameters, multiplied, epochs) == ("digits-cnn", "10,010", f"{count:,}", "3")
    assert float(seconds) == pytest.approx(result["seconds"] / 3, abs=0.06)
    assert errors == [error, "%"], "it reports nothing on what was learnt from"
    assert second.split()[3] == "2" and "±" in second


def test_errors_on_what_was_learnt_from_and_networks_that_multiply_otherwise(runs, here):
    home = here / "run"
    shutil.copytree(runs["digits-cnn"], home)
    result = json.loads((home / "result.json").read_text())
    result["metrics"]["test/error-learnt"] = {"values": [0.125]}
    (home / "result.json").write_text(json.dumps(result))
    assert "  12.50 %  " in comparison.compare([home])
    attentive = recipe("mnist-vit")
    assert comparison._count(attentive, attentive.options) == ""


def test_what_is_no_finished_run_that_classifies_is_told(runs, here, capsys):
    status, out, err = says(capsys, "compare", str(here))
    assert (status, out) == (2, "") and "no run.json there" in err
    home = here / "run"
    shutil.copytree(runs["digits-cnn"], home)
    (home / "seed-0" / "metrics.csv").unlink()
    assert "the epochs of run/seed-0: found No such file" in says(capsys, "compare", "run")[2]
    (home / "result.json").write_text('{"metrics": {}, "parameters": 1, "seeds": [0]}')
    assert "give runs that classify" in says(capsys, "compare", "run")[2]
    (home / "result.json").unlink()
    assert "a run that is not finished" in says(capsys, "compare", "run")[2]

"""The commands that write with trained models, and draw what they heard."""

import json
import shutil
from dataclasses import replace

import pytest

from geodl import models
from geodl.train import RECIPES, run
from tests.test_cli import here, says
from tests.toy_recipes import TOYS, lettered

__all__ = ["here"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One finished run of each kind that a command takes."""
    root = tmp_path_factory.mktemp("runs")
    made = {name: TOYS[name] for name in ("translation", "transduction")} | {
        "next token": lettered(epochs=1)
    }
    for name, recipe in made.items():
        run(recipe, folder=root / name, seeds=2 if name == "transduction" else 1)
    return root


@pytest.fixture
def toy(monkeypatch, runs):
    """The folder of a toy's run, while the toy is the recipe of its name."""

    def choose(name):
        monkeypatch.setitem(
            RECIPES, "toy", lettered(epochs=1) if name == "next token" else TOYS[name]
        )
        return str(runs / name)

    return choose


def test_generate_continues_a_prompt(toy, here, capsys):
    words = ("generate", toy("next token"), "--prompt", "the cat", "--count", "30")
    status, out, err = says(capsys, *words)
    assert (status, err) == (0, "")
    assert out.startswith("the cat")
    assert len(out) == 7 + 30 + 1
    assert says(capsys, *words)[1] == out
    assert says(capsys, *words, "--seed", "1")[1] != out
    likeliest = says(capsys, *words, "--temperature", "0")[1]
    assert says(capsys, *words, "--top_k", "1")[1] == likeliest


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--prompt", "thé"), "'é' at position 2"),
        (("--prompt", ""), "nothing to begin with"),
        (("--prompt", "t", "--count", "0"), "--count 0"),
        (("--prompt", "t", "--seed", "-1"), "--seed -1"),
        (("--prompt", "t", "--temperature", "-1"), "temperature=-1"),
        (("--prompt", "t", "--top_k", "0"), "top_k"),
        (("--propmt", "t"), "did you mean '--prompt'?"),
    ],
)
def test_what_cannot_be_generated_is_told(words, told, toy, here, capsys):
    status, out, err = says(capsys, "generate", toy("next token"), *words)
    assert (status, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


def test_a_run_of_another_kind_or_vocabulary_is_refused(toy, runs, here, capsys):
    assert "a run of toy: translation" in says(capsys, "generate", toy("translation"))[2]
    assert "no run.json there" in says(capsys, "generate", "nowhere")[2]
    home = here / "copy"
    shutil.copytree(runs / "next token", home)
    other = json.loads((runs / "translation" / "vocabulary.json").read_text())["target"]
    (home / "vocabulary.json").write_text(json.dumps({"target": other}))
    toy("next token")
    ours = json.loads((runs / "next token" / "vocabulary.json").read_text())["target"][
        "fingerprint"
    ]
    status, _, err = says(capsys, "generate", str(home), "--prompt", "e")
    assert status == 2
    assert ours in err
    assert other["fingerprint"] in err


def test_translate_writes_a_line_for_each_sentence(toy, here, capsys):
    status, out, err = says(
        capsys, "translate", toy("translation"), "I see.", "No.", "--attention", "heard.png"
    )
    assert (status, err) == (0, "")
    assert out.count("\n") == 2
    assert (here / "heard.png").read_bytes().startswith(b"\x89PNG")
    assert says(capsys, "translate", toy("translation"), "I see.")[1] == out.split("\n")[0] + "\n"
    assert says(capsys, "translate", toy("transduction"), "abcde")[0] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("I œ.",), "'œ' at position 2"),
        (("",), "found nothing"),
        ((), "texts"),
        (("No.", "--attention", "none/a.png"), "no folder to put it in"),
        (("No.", "--attention", "a.xyz"), "a.xyz"),
    ],
)
def test_what_cannot_be_translated_is_told(words, told, toy, here, capsys):
    status, out, err = says(capsys, "translate", toy("translation"), *words)
    assert status == 2 and bool(out) == ("a.xyz" in words), (
        "a translation is not lost with its picture"
    )
    assert told in err
    assert list(here.iterdir()) == []


def test_a_model_without_attention_has_no_picture_of_it(toy, monkeypatch, here, capsys, tmp_path):
    toy("translation")
    vocabularies = RECIPES["toy"].parts().vocabularies
    sizes = [len(vocabularies[name]) for name in ("source", "target")]
    plain = replace(RECIPES["toy"], model=lambda: models.seq2seq(*sizes, channels=4, hidden=4))
    monkeypatch.setitem(RECIPES, "toy", plain)
    run(plain, folder=tmp_path / "run")
    _, out, err = says(capsys, "translate", str(tmp_path / "run"), "No.", "--attention", "a.png")
    assert "no layer that attends" in err and out.count("\n") == 1, (
        "the translation stands all the same"
    )
    assert says(capsys, "translate", str(tmp_path / "run"), "No.")[0] == 0


def test_accuracy_against_length_is_drawn(toy, here, capsys):
    status, out, err = says(capsys, "draw", "lengths", toy("transduction"), "--to", "lengths.png")
    assert (status, out, err) == (0, "lengths.png\n", "")
    assert (here / "lengths.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        (["translation"], "give runs of reverse-*"),
        (["transduction"] * 2, "another run of toy"),
        ([], "runs"),
    ],
)
def test_what_cannot_be_drawn_is_told(kinds, told, toy, here, capsys):
    status, out, err = says(capsys, "draw", "lengths", *map(toy, kinds), "--to", "lengths.png")
    assert (status, out) == (2, "")
    assert told in err
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["mnist-vit", "digit-name", "translate-rnn-attention", "shakespeare-bert", "truecase-bilstm"],
)
def test_explain_tells_of_models_of_sequences(name, capsys):
    status, out, _ = says(capsys, "explain", name)
    assert status == 0
    assert "runs on" in out

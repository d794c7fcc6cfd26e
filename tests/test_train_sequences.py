"""Recipes on texts and sequences learn, continue to the last bit, and refuse another vocabulary."""

import json

import pytest
import torch

import geodl as g
from geodl.data import BOS, EOS, MASK, Vocabulary
from geodl.train import RECIPES, Optimizer, run
from geodl.train import text_parts as parts
from geodl.train.classification import MaskedTokens, NextToken, SequenceClassification, Tagging
from geodl.train.decoding import Transduction, Translation, greedy
from geodl.train.examples import (
    UNCOUNTED,
    Batches,
    Blocks,
    Labelled,
    Masked,
    Pair,
    Pairs,
    text_windows,
)
from geodl.train.experiment import Interrupted
from geodl.train.minimization import cosine
from geodl.train.trained import trained
from tests.toy_recipes import ADAM, SAID, TOYS, lettered, small, text, translations
from tests.training import refused, same, stop_at, weights

MEASURED = {
    "next token": {"val/loss", "val/accuracy", "val/error"},
    "masked tokens": {"val/loss", "val/accuracy", "val/error"},
    "tags": {
        f"{part}/{name}" for part in ("val", "test") for name in ("loss", "accuracy", "error")
    },
    "sequences": {
        f"{part}/{name}" for part in ("val", "test") for name in ("loss", "accuracy", "error")
    },
    "captions": {"val/loss", "test/loss", "test/exact"},
    "transduction": {"val/loss"}
    | {f"test/{n}{s}" for n in ("loss", "exact", "accuracy") for s in ("", "-05", "-10")},
    "translation": {"val/loss", "test/loss", "test/exact", "test/chrf"},
}


@pytest.mark.parametrize("kind", sorted(TOYS))
def test_each_kind_is_trained_and_measured(kind, tmp_path):
    result = run(TOYS[kind], folder=tmp_path / "run")
    assert result.values.keys() == MEASURED[kind]
    assert all(0 <= values[0] <= 1 for name, values in result.values.items() if "loss" not in name)
    kept = json.loads((tmp_path / "run" / "vocabulary.json").read_text())
    assert all(
        Vocabulary.from_dict({k: v for k, v in one.items() if k != "fingerprint"})
        for one in kept.values()
    )
    assert bool(result.examples) == (kind in ("captions", "transduction", "translation"))


@pytest.mark.parametrize("kind", sorted(TOYS))
def test_an_interrupted_run_continues_to_the_last_bit(kind, tmp_path):
    straight = run(TOYS[kind], folder=tmp_path / "straight")
    steps = len(Batches(TOYS[kind].parts().train, TOYS[kind].batch_size))
    with pytest.raises(Interrupted):
        run(TOYS[kind], folder=tmp_path / "stopped", progress=stop_at(steps + 1))
    again = run(TOYS[kind], resume=tmp_path / "stopped")
    assert same(weights(again.folder), weights(straight.folder))
    assert again.values == straight.values


def test_a_text_is_learnt(tmp_path):
    before, after = (
        run(lettered(epochs=e), folder=tmp_path / str(e)).values["val/loss"][0] for e in (1, 30)
    )
    assert after < 1 < 2 < before


def test_a_run_with_another_vocabulary_is_refused(tmp_path):
    one, two = (text(letters).vocabulary.fingerprint for letters in (SAID, SAID.replace("T", "Z")))
    assert one != two
    with pytest.raises(Interrupted):
        run(lettered(), folder=tmp_path, progress=stop_at(7))
    refused(
        one,
        two,
        "start the run anew",
        act=lambda: run(lettered(SAID.replace("T", "Z")), resume=tmp_path),
    )
    kept = (tmp_path / "vocabulary.json").read_text()
    (tmp_path / "vocabulary.json").unlink()
    refused("vocabulary.json", act=lambda: run(lettered(), resume=tmp_path))
    (tmp_path / "vocabulary.json").write_text(kept)
    assert run(lettered(), resume=tmp_path).metrics


def test_a_model_out_of_a_run_is_the_one_that_was_trained(tmp_path, monkeypatch):
    result = run(lettered(), folder=tmp_path)
    monkeypatch.setitem(RECIPES, "toy", lettered())
    found = trained(tmp_path, ("next token",))
    inputs, targets = next(iter(Batches(lettered().parts().val, 1000)))
    loss = torch.nn.functional.cross_entropy(
        found.model(g.Signal.tokens(inputs)).x.flatten(0, 1), targets.flatten()
    )
    assert float(loss) == pytest.approx(result.values["val/loss"][0], abs=1e-5)
    refused(
        "translation with the run", "next token", act=lambda: trained(tmp_path, ("translation",))
    )
    kept = json.loads((tmp_path / "vocabulary.json").read_text())
    other = Vocabulary(("#", *kept["target"]["symbols"][1:]))
    damaged = {"target": kept["target"] | {"symbols": list(other.symbols)}}
    (tmp_path / "vocabulary.json").write_text(json.dumps(damaged))
    names = (kept["target"]["fingerprint"], other.fingerprint)
    refused(*names, "restore", act=lambda: trained(tmp_path, ("next token",)))
    (tmp_path / "vocabulary.json").write_text(
        json.dumps({"target": damaged["target"] | {"fingerprint": other.fingerprint}})
    )
    refused(*names, "a checkpoint with", act=lambda: trained(tmp_path, ("next token",)))
    refused("no run.json", act=lambda: trained(tmp_path / "seed-0", ("next token",)))


def test_an_unfinished_run_has_no_model(tmp_path, monkeypatch):
    with pytest.raises(Interrupted):
        run(lettered(), folder=tmp_path, progress=stop_at(7))
    monkeypatch.setitem(RECIPES, "toy", lettered())
    refused("not finished", "--resume", act=lambda: trained(tmp_path, ("next token",)))


def test_blocks_follow_from_seed_and_epoch():
    order = Batches(Blocks(torch.arange(50), 6, 3), 4, seed=1)
    epochs = []
    for epoch in (0, 1, 0):
        order.epoch = epoch
        epochs.append(
            [inputs.tolist() for inputs, targets in order if torch.equal(targets, inputs + 1)]
        )
    assert len(order) == 3
    assert [len(batches) for batches in epochs] == [3, 3, 3]
    assert epochs[0] == epochs[2] != epochs[1]


def test_a_whole_text_is_evaluated_once():
    inputs = [inputs for inputs, _ in Batches(text_windows(torch.arange(20), 3))]
    assert torch.cat(inputs).flatten().tolist() == list(range(18))


def test_hidden_characters_are_asked_and_the_same_each_time():
    ids = torch.randint(9, (4000,), generator=torch.Generator().manual_seed(1))
    order = Batches(Masked(text_windows(ids, 100), 9))
    (seen, truth, asked), (again, *_) = next(iter(order)), next(iter(order))
    assert torch.equal(seen, again)
    assert torch.equal(seen[~asked], truth[~asked])
    assert float(asked.double().mean()) == pytest.approx(0.15, abs=0.02)
    assert float((seen[asked] == 9).double().mean()) == pytest.approx(0.8, abs=0.06)
    shuffled = Batches(Masked(Blocks(ids, 100, 1), 9), 4, seed=0)
    first = next(iter(shuffled))[2]
    shuffled.epoch = 1
    assert not torch.equal(first, next(iter(shuffled))[2])


def test_sources_of_a_batch_have_one_length_and_every_pair_comes_once():
    made = parts.translation_parts(translations()).train
    order = Batches(made, 2, seed=0)
    batches = list(order)
    assert len(batches) == len(order)
    assert sum(len(batch.sources) for batch in batches) == len(made.sources) == 5
    target = parts.translation_parts(translations()).vocabularies["target"]
    assert sorted(target.decode(row) for batch in batches for row in batch.targets) == sorted(
        french for several in translations().train.references.values() for french in several
    )
    assert all(
        target.decode(row) in answers
        for batch in batches
        for row, answers in zip(*batch[1::2], strict=True)
    )


def test_targets_of_a_batch_are_neighbours_in_length():
    targets = [torch.ones(1 + 7 * k % 40, dtype=torch.long) for k in range(40)]
    made = Pairs([torch.ones(3, dtype=torch.long)] * 40, targets, [("",)] * 40)
    first, second = (
        [batch.mask.sum(1).tolist() for batch in made.draw(4, torch.Generator().manual_seed(k))]
        for k in (0, 1)
    )
    assert all(max(lengths) - min(lengths) == 3 for lengths in first)
    assert (
        sorted(n for lengths in first for n in lengths) == list(range(1, 41)) and first != second
    ), "each once, in another order each epoch"
    assert next(iter(made.draw(4, None))).mask.sum(1).tolist() == [1, 8, 15, 22], (
        "as they come, when judged"
    )


def test_padding_is_not_counted():
    made = [torch.tensor([3, 4, 5]), torch.tensor([3])]
    ids, mask, labels = next(
        iter(Batches(Labelled(made, [torch.tensor([0, 1, UNCOUNTED]), torch.tensor([1])])))
    )
    task = Tagging(g.models.tagger(6, 2, channels=4, hidden=4), ADAM)
    scores, classes = task.read((ids, mask, labels))
    assert sorted(classes.tolist()) == [0, 1, 1]
    alone, _ = task.read((made[1][None], torch.ones(1, 1, dtype=torch.bool), torch.tensor([[1]])))
    assert any(torch.allclose(row, alone[0], atol=1e-6) for row in scores)
    whole = SequenceClassification(g.models.sequence_classifier(6, 2, channels=4, hidden=4), ADAM)
    assert whole.read((ids, mask, torch.tensor([0, 1])))[0].shape == (2, 2)


def test_what_is_padded_in_a_target_changes_nothing():
    vocabularies = parts.translation_parts(translations()).vocabularies
    model = small(*map(len, vocabularies.values()))
    task = Translation(model, ADAM, vocabularies=vocabularies)
    source, target = torch.tensor([[2, 3], [3, 2]]), vocabularies["target"]
    long, short = target.framed("Je suis."), target.framed("Va !")
    both = next(iter(Batches(Pairs(list(source), [long, short], [("",), ("",)]))))
    scores, classes = task.read(both)
    alone, tokens = task.read(next(iter(Batches(Pairs([source[1]], [short], [("",)])))))
    assert classes.tolist() == [*long[1:].tolist(), *short[1:].tolist()]
    assert torch.allclose(scores[len(long) - 1 :], alone, atol=1e-5)
    assert torch.equal(tokens, short[1:])


def test_next_and_masked_tokens_are_read_where_they_are_asked():
    inputs = torch.randint(5, (2, 8))
    model = g.models.gpt(6, context=8, channels=8, heads=2, depth=1).eval()
    scores, classes = NextToken(model, ADAM).read((inputs, inputs + 1))
    assert torch.equal(classes, (inputs + 1).flatten())
    asked = torch.zeros(2, 8, dtype=torch.bool).index_put(
        (torch.tensor([1]), torch.tensor([3])), torch.tensor(True)
    )
    hidden, truth = MaskedTokens(model, ADAM).read((inputs, inputs, asked))
    assert torch.allclose(hidden[0], scores[11], atol=1e-6)
    assert truth.tolist() == [int(inputs[1, 3])]


class Copies(g.models.EncoderDecoder):
    """Says its source again: what a perfect model of a copying task does."""

    def __init__(self, end):
        torch.nn.Module.__init__(self)
        self.end = end

    def step(self, signal, state=None, sender=None):
        seen = (state or 0) + signal.domain.num_nodes
        ids = torch.cat([sender.x[..., 0], torch.full_like(sender.x[:, :1, 0], self.end)], 1)
        said = torch.nn.functional.one_hot(ids[:, [min(seen, ids.shape[1]) - 1]], 20).float()
        return g.Signal(said.expand(-1, signal.domain.num_nodes, -1), signal.domain), seen


def test_what_is_written_is_compared_with_every_right_answer():
    vocabulary = Vocabulary.of_characters(["abc"], specials=("<pad>", BOS, EOS))
    model, ids = Copies(vocabulary.index(EOS)), vocabulary.encode("abc")
    sender = g.Signal.tokens(torch.stack([ids, ids.flip(0)]))
    assert greedy(model, sender, vocabulary, 9) == ["abc", "cba"]
    logged = {}
    task = Transduction(model, ADAM, vocabularies={"source": vocabulary, "target": vocabulary})
    task.log = lambda name, value, **options: logged.update({name: value})
    task.compare(
        next(iter(Batches(Pairs([ids, ids.flip(0)], [ids, ids], [("abb",), ("cba",)])))),
        ["abc", "cba"],
    )
    assert logged == {"test/exact": 0.5, "test/accuracy": pytest.approx(5 / 6)}
    assert task.shown == ["abc -> abc (wrong: abb)"]


@pytest.mark.parametrize(
    ("written", "exact", "least", "most"),
    [
        (["Moi, je vois.", "Je suis."], 1.0, 1.0, 1.0),
        (["Je vois.", "Je suis las."], 0.5, 0.6, 0.99),
        (["Non.", "Va !"], 0.0, 0.0, 0.2),
    ],
)
def test_a_translation_is_judged_by_its_best_reference(written, exact, least, most):
    task = Translation(torch.nn.Identity(), ADAM)
    logged = {}
    task.log = lambda name, value, **options: logged.update({name: value})
    task.vocabularies = {"source": Vocabulary.of_characters(["abc"])}
    answers = [("Je vois.", "Moi, je vois."), ("Je suis.",)]
    task.compare(Pair(torch.zeros(2, 3, dtype=torch.long), None, None, answers), written)
    assert logged["test/exact"] == exact
    assert least - 1e-6 <= float(logged["test/chrf"].compute()) <= most + 1e-6


def test_masked_parts_hide_with_a_symbol_of_their_own():
    made = parts.masked_parts(text(), 8, 5)
    vocabulary = made.vocabularies["target"]
    seen, truth, _ = next(iter(Batches(made.val)))
    assert vocabulary.index(MASK) == len(vocabulary) - 1
    assert int(truth.max()) < vocabulary.index(MASK) == int(seen.max())


def test_warm_up_and_decay():
    asked = Optimizer(
        lr=1.0, schedule="cosine", warmup=10, min_lr=0.1, method="adamw", beta2=0.99, clip=1.0
    )
    rates = [cosine(step, 110, asked) for step in range(120)]
    assert rates[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert rates[10] == 1.0
    assert rates[60] == pytest.approx(0.55)
    assert rates[110:] == pytest.approx([0.1] * 10)
    assert (
        "AdamW cosine, lr 1 to 0.1 after 10 steps of warm-up, "
        "betas 0.9 and 0.99, gradient norm at most 1"
    ) in str(asked)
    refused("optimizer.clip=0", act=lambda: Optimizer(lr=1, clip=0))
    refused("optimizer.beta2=1", act=lambda: Optimizer(lr=1, beta2=1.0))
    refused("the schedule constant", act=lambda: Optimizer(lr=1, warmup=3))
    refused("optimizer.min_lr=-1", act=lambda: Optimizer(lr=1, min_lr=-1))


def test_the_gradient_is_clipped(tmp_path, monkeypatch):
    norms = []
    real = torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(
        torch.nn.utils, "clip_grad_norm_", lambda *a, **k: norms.append(a[1]) or real(*a, **k)
    )
    run(lettered(epochs=1), folder=tmp_path)
    assert norms == [1.0] * 5


def test_case_is_judged_on_lines_that_were_not_learnt_from():
    made = TOYS["tags"].parts()
    written = {
        part: [made.vocabularies["source"].decode(ids) for ids in getattr(made, part).ids]
        for part in ("train", "val")
    }
    asked = [made.vocabularies["source"].decode(ids) for ids in made.tests[""].ids]
    assert set(written["train"]) == {"tom saw it.", "the cat."} and written["val"] == [
        "the mat.",
        "tom ran.",
    ]
    assert asked == ["tom sat."], "Tom saw It. was learnt from"

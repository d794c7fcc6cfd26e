"""Adversarial training: two optimisers in turn, to the last bit again, judged by a network."""

import json
from dataclasses import replace

import pytest
import torch
from scipy.linalg import sqrtm

from geodl.train import RECIPES, Optimizer, TrainerOptions, run
from geodl.train.adversarial import (
    HISTORY,
    PANELS,
    Adversarial,
    frechet_distance,
    images_of_epochs,
)
from geodl.train.experiment import Interrupted
from geodl.train.trained_judge import trained_judge
from tests.toy_gans import digits, recipe, small
from tests.training import refused, same, short, stop_at, weights

ALWAYS = {"test/frechet", "test/frechet-real", "test/rarest", "test/commonest"}
MEASURED = {
    "dcgan": ALWAYS,
    "wgan": ALWAYS,
    "conditional": ALWAYS | {"test/accuracy"},
    "infogan": ALWAYS | {"test/ami", "test/ami-real"},
    "sagan": ALWAYS | {"test/accuracy"},
}


def checkpoint(result):
    return torch.load(result.folder / "seed-0" / "last.ckpt", weights_only=True)


def flat(value):
    """All tensors and numbers in a value, in order."""
    if isinstance(value, dict):
        return [found for inner in value.values() for found in flat(inner)]
    if isinstance(value, list | tuple):
        return [found for inner in value for found in flat(inner)]
    return [value]


def equal(one, other):
    ours, theirs = flat(one), flat(other)
    return len(ours) == len(theirs) and all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
        for a, b in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize("kind", MEASURED)
def test_an_interrupted_run_continues_to_the_last_bit(kind, tmp_path):
    straight = run(recipe(kind), folder=tmp_path / "straight")
    with pytest.raises(Interrupted):
        run(recipe(kind), folder=tmp_path / "stopped", progress=stop_at(8))
    again = run(recipe(kind), resume=tmp_path / "stopped")
    kept, other = checkpoint(straight), checkpoint(again)
    assert same(other["state_dict"], kept["state_dict"])
    assert len(kept["optimizer_states"]) == 2
    assert equal(other["optimizer_states"], kept["optimizer_states"])
    assert equal(other[HISTORY], kept[HISTORY])
    assert [tuple(images.shape) for images in kept[HISTORY]] == [(PANELS, 1, 8, 8)] * 3
    assert again.values == straight.values
    assert straight.values.keys() == MEASURED[kind]
    table = (straight.folder / "seed-0" / "metrics.csv").read_text().splitlines()
    assert set(table[0].split(",")) == {"epoch", "step", "train/critic", "train/loss"}


def test_both_networks_learn_at_their_own_rate_and_in_turn():
    task = Adversarial(small("sagan"), Optimizer(lr=0.01, beta1=0.0, beta2=0.9))
    critic, generator = task.configure_optimizers()
    assert [group["lr"] for group in critic.param_groups] == [0.04]
    assert [group["lr"] for group in generator.param_groups] == [0.01]
    assert critic.param_groups[0]["betas"] == (0.0, 0.9)
    chosen = {id(p) for group in critic.param_groups for p in group["params"]}
    assert chosen == {id(p) for p in task.gan.discriminator.parameters()}


def test_several_steps_of_the_critic_for_one_of_the_generator(tmp_path):
    states = checkpoint(run(recipe("wgan"), folder=tmp_path))["optimizer_states"]
    steps = [{int(state["step"]) for state in one["state"].values()} for one in states]
    assert steps == [{10}, {4}], "two epochs of five batches, two critic steps a turn"


def test_an_epoch_without_a_step_of_the_generator_is_refused(tmp_path):
    few = replace(recipe("wgan"), trainer=TrainerOptions(1, accelerator="cpu", limit_batches=1))
    told = "1 batches an epoch, in which the generator takes no step; give at least 2 batches"
    refused(told, act=lambda: run(few, folder=tmp_path))


@pytest.mark.parametrize("kept", [{}, {HISTORY: []}, {HISTORY: [3]}])
def test_a_checkpoint_without_images_of_the_epochs_is_refused(kept):
    refused("the images of each epoch", act=lambda: images_of_epochs(kept))


def test_a_loss_that_is_no_number_stops_and_costs_nothing(tmp_path, monkeypatch):
    straight = run(recipe("dcgan", epochs=3), folder=tmp_path / "straight")
    real = Adversarial._critic_loss

    def poisoned(task, images, labels):
        loss = real(task, images, labels)
        if task.current_epoch == 1:
            return loss * torch.nan
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(Adversarial, "_critic_loss", poisoned)
        refused(
            "seed-0, epoch 2, step 11",
            "nan",
            "the last checkpoint before it stays",
            act=lambda: run(recipe("dcgan", epochs=3), folder=tmp_path / "stopped"),
        )
    again = run(recipe("dcgan", epochs=3), resume=tmp_path / "stopped")
    assert same(weights(again.folder), weights(straight.folder))
    # The same of a learning rate that is far too large, where nobody helps.
    refused(
        "seed-0, epoch 1, step 2",
        "lower optimizer.lr",
        act=lambda: run(recipe("wgan", lr=1e25), folder=tmp_path / "far"),
    )


@pytest.mark.parametrize("options", [{"schedule": "one-cycle"}, {"decayed": "matrices"}])
def test_what_two_optimisers_do_not_take_is_told(options, tmp_path):
    refused("to train a GAN", act=lambda: run(recipe("dcgan", **options), folder=tmp_path))


def test_gradients_of_both_networks_are_clipped(tmp_path):
    # Adam divides by the root of the mean square, to which it adds 1e-8: far less moves nothing.
    starts = []
    for name, clip in (("free", None), ("clipped", 1e-14)):
        made = run(recipe("dcgan", clip=clip), folder=tmp_path / name)
        starts.append(weights(made.folder))
    torch.manual_seed(0)
    first = {f"model.{name}": value for name, value in small("dcgan").named_parameters()}
    free, clipped = (
        max(float((state[name] - value.detach()).abs().max()) for name, value in first.items())
        for state in starts
    )
    assert clipped < 1e-7 < 1e-4 < free


def test_the_distance_is_frechets():
    torch.manual_seed(0)
    one, other = (
        torch.randn(50, 4).double(),
        torch.randn(60, 4).double() @ torch.rand(4, 4).double(),
    )
    cov, cov_other = one.T.cov(), other.T.cov()
    root = torch.from_numpy(sqrtm((cov @ cov_other).numpy()).real)
    wanted = (one.mean(0) - other.mean(0)).square().sum() + (cov + cov_other - 2 * root).trace()
    assert float(frechet_distance(one, other)) == pytest.approx(float(wanted), rel=1e-9)
    assert abs(float(frechet_distance(one, one))) < 1e-9


def test_a_judge_is_trained_once(tmp_path, monkeypatch):
    monkeypatch.setenv("GEODL_DATA", str(tmp_path))
    short_run = replace(RECIPES["digits-cnn"], trainer=short("digits-cnn", 1).trainer)
    run(replace(recipe("dcgan", epochs=1), needs=(short_run,)), folder=tmp_path / "run")
    kept = tmp_path / "runs" / "digits-cnn"
    assert json.loads((kept / "run.json").read_text())["recipe"] == "digits-cnn"
    before = (kept / "seed-0" / "last.ckpt").stat().st_mtime_ns
    judge, again = (trained_judge(short_run, digits()) for _ in range(2))
    assert (kept / "seed-0" / "last.ckpt").stat().st_mtime_ns == before
    images = torch.rand(3, 1, 8, 8)
    assert torch.equal(judge(images).logits, again(images).logits)
    assert judge(images).logits.shape == (3, 10)
    for path in (kept / "result.json", kept / "seed-0" / "result.json"):
        path.unlink()
    assert torch.equal(trained_judge(short_run, digits())(images).logits, again(images).logits)

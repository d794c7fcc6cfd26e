"""Short runs of recipes, and what two of them have in common."""

from dataclasses import replace

import pytest
import torch

import geodl as g
from geodl.train import TrainerOptions, recipe


def short(name, epochs=2, every=1, **optimizer):
    """The options of a recipe for a few epochs on the CPU."""
    options = recipe(name).options
    trainer = TrainerOptions(epochs, check_val_every_n_epoch=every, accelerator="cpu")
    return replace(options, trainer=trainer, optimizer=replace(options.optimizer, **optimizer))


def weights(folder, seed=0):
    return torch.load(folder / f"seed-{seed}" / "last.ckpt", weights_only=True)["state_dict"]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def stop_at(call):
    """A progress that presses Ctrl-C at a call, or at the first test batch."""
    calls = []

    def press(line, done, total):
        calls.append(line)
        if len(calls) == call or (call == "test" and line.endswith("test")):
            raise KeyboardInterrupt

    return press


def refused(*words, act):
    with pytest.raises(g.GeodlError) as error:
        act()
    assert all(word in str(error.value) for word in words), str(error.value)

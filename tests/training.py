"""Short runs of recipes, and what two of them have in common."""

import os
from dataclasses import replace
from pathlib import Path

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
    """A progress that presses Ctrl-C at a step of training, or at the first test batch."""
    steps = []

    def press(line, done, total):
        if ": epoch" in line:
            steps.append(line)
        if len(steps) == call or (call == "test" and line.endswith("test")):
            raise KeyboardInterrupt

    return press


def refused(*words, act):
    with pytest.raises(g.GeodlError) as error:
        act()
    assert all(word in str(error.value) for word in words), str(error.value)


def failing_writes(patch, name, number, after=0):
    """Writing a file of a name fails half way, as the system says it by an error number.

    Args:
        patch: pytest's.
        after: how many times it goes well before.
    """
    real = {method: getattr(Path, method) for method in ("write_bytes", "write_text")}
    calls = []

    def write(method, path, content, **options):
        if name in path.name:
            calls.append(path)
            if len(calls) > after:
                real[method](path, content[: len(content) // 2], **options)
                raise OSError(number, os.strerror(number), str(path))
        return real[method](path, content, **options)

    for method in real:
        patch.setattr(
            Path,
            method,
            lambda path, content, method=method, **o: write(method, path, content, **o),
        )

"""Networks as people write them, imported: the same numbers and gradients, and nothing opaque."""

import copy

import pytest
import torch
from torch.utils import _pytree as pytree

from geodl.interop import from_torch, to_torch
from geodl.testing import error
from tests import foreign_images as images
from tests import foreign_sequences as sequences
from tests.twins import drawn


def image(*shape):
    return (torch.randn(shape, dtype=torch.float64),)


def ids(*shape):
    return (torch.randint(9, shape),)


# For each network its example, and why not all of it is layers: the labels of opaque nodes.
NETWORKS = {
    "residual": (images.Residual, image(2, 3, 8, 8), ()),
    "inception": (images.Inception, image(2, 3, 16, 16), ()),
    "unet": (images.UNet, image(2, 3, 8, 12), ()),
    "gpt": (sequences.GPT, ids(2, 8), ()),
    "gpt, written out": (lambda: sequences.GPT(False), ids(2, 6), ()),
    "vit": (lambda: sequences.ViT(token=False), image(2, 3, 8, 8), ()),
    "vit, class token": (sequences.ViT, image(2, 3, 8, 8), ()),
    "mobilenet": (images.MobileNet, image(2, 3, 16, 16), ()),
    "convnext": (images.ConvNeXt, image(2, 3, 16, 16), ()),
    "discriminator": (images.Discriminator, image(2, 3, 16, 16), ()),
    "lstm": (sequences.LSTMClassifier, ids(2, 6), ()),
    "lstm, states": (lambda: sequences.LSTMClassifier(of_states=True), ids(2, 6), ()),
    "seq2seq": (sequences.Seq2Seq, (*ids(2, 6), *ids(2, 4)), ()),
    "encoder": (sequences.EncoderClassifier, ids(6, 2), ()),
    "encoder, no mask": (lambda: sequences.EncoderClassifier(masked=False), ids(6, 2), ()),
    "generator": (images.Generator, image(2, 6, 1, 1), ()),
    "functional": (images.FunctionalCNN, image(2, 1, 14, 14), ()),
    "own weights": (images.OwnWeights, image(2, 1, 6, 6), ()),
}


def answers_and_gradients(model, args):
    """The answer's tensors, and the gradients of the arguments and of each parameter."""
    given = [one.clone().requires_grad_(one.is_floating_point()) for one in args]
    answers = [one for one in pytree.tree_leaves(model(*given)) if one is not None]
    generator = torch.Generator().manual_seed(2)
    total = sum(
        (y * torch.randn(y.shape, generator=generator, dtype=y.dtype)).sum() for y in answers
    )
    named = dict(model.named_parameters())
    for k, one in enumerate(given):
        if one.requires_grad:
            named[f"argument {k}"] = one
    found = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    gradients = {}
    for (name, tensor), gradient in zip(named.items(), found, strict=True):
        gradients[name] = torch.zeros_like(tensor) if gradient is None else gradient
    return answers, gradients


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_comes_in_as_it_is_written(name):
    make, args, opaque = NETWORKS[name]
    model = drawn(make()).train()
    network = from_torch(model, args)
    assert (network.opaque() == {}) == (opaque == ())
    before = copy.deepcopy(model)
    theirs, wanted = answers_and_gradients(model, args)
    ours, found = answers_and_gradients(network, args)
    assert max(map(error, ours, theirs)) <= 1e-10
    # A layer keeps a parameter in a shape of its own: the conversion carries gradients over.
    carrier = copy.deepcopy(before)
    with torch.no_grad():
        for path, parameter in carrier.named_parameters():
            parameter.copy_(wanted[path])
    carried = dict(from_torch(carrier, args).named_parameters())
    assert {*carried, "argument 0"} >= found.keys() >= carried.keys()
    for path, gradient in found.items():
        assert error(gradient, carried.get(path, wanted.get(path))) <= 1e-10, path
    back = to_torch(from_torch(before, args))
    again, _ = answers_and_gradients(back, args)
    assert max(map(error, again, theirs)) <= 1e-10
    names = {path for path, _ in back.named_parameters(remove_duplicate=False)}
    assert names == {path for path, _ in model.named_parameters(remove_duplicate=False)}

"""Layers and containers that are built or called wrongly are refused in words."""

import pytest
import torch
from torch import nn

import geodl as g
from tests.bad_input import (
    GRID,
    RING,
    assert_refused,
    attention,
    conv,
    forced,
    on,
    twice,
)

TYPED = g.Conv(2, 3, g.all_pairs("offset"), on=g.Chain(5))
SCRIPTED = torch.jit.script(nn.ReLU())
LAYERS = {
    "scripted module": (
        lambda: g.Sequential(SCRIPTED),
        "RecursiveScriptModule",
        "nobody has said",
        "g.Pointwise",
    ),
    "momentum in words": (
        lambda: g.BatchNorm(3, momentum="0.1"),  # pyright: ignore[reportArgumentType]
        "momentum='0.1'",
        "a str",
        "give a number",
    ),
    "no epsilon": (
        lambda: g.BatchNorm(3, eps=None),  # pyright: ignore[reportArgumentType]
        "eps=None",
        "a NoneType",
        "give a number",
    ),
    "momentum of a member norm in words": (
        lambda: g.InstanceNorm(3, momentum="0.1"),  # pyright: ignore[reportArgumentType]
        "InstanceNorm(momentum='0.1')",
        "a str",
        "give a number",
    ),
    "no epsilon of a group norm": (
        lambda: g.GroupNorm(1, 3, eps=None),  # pyright: ignore[reportArgumentType]
        "GroupNorm(eps=None)",
        "a NoneType",
        "give a number",
    ),
    "dropout of attention in words": (
        lambda: g.Attention(2, g.all_pairs(), 1, dropout="4"),  # pyright: ignore[reportArgumentType]
        "Attention(dropout='4')",
        "",
        "give a probability",
    ),
    "dropout in words": (
        lambda: g.Dropout("4"),  # pyright: ignore[reportArgumentType]
        "Dropout('4')",
        "",
        "give a probability",
    ),
    "no model to explain": (
        lambda: g.explain(None, on(GRID)),  # pyright: ignore[reportArgumentType]
        "model",
        "a NoneType",
        "give a module",
    ),
    "no model to set": (
        lambda: g.set_lowering(None, "edges"),  # pyright: ignore[reportArgumentType]
        "model",
        "a NoneType",
        "give a module",
    ),
    "no domain to certify on": (
        lambda: g.certify(conv(), ()),
        "certify(Conv",
        "0 domains",
        "give one",
    ),
    "collating tensors": (
        lambda: g.collate([torch.zeros(1)]),  # pyright: ignore[reportArgumentType]
        "collate",
        "a Tensor",
        "give a list of Signals",
    ),
    "collating nothing": (
        lambda: g.collate(None),  # pyright: ignore[reportArgumentType]
        "collate",
        "a NoneType",
        "give a list of Signals",
    ),
    "reversed onto a word": (
        lambda: g.window(2, stride=2).reverse(onto="x"),  # pyright: ignore[reportArgumentType]
        "onto='x'",
        "a str",
        "give a domain",
    ),
    "no number of classes": (lambda: g.models.vit(4.0), "vit(classes=4.0)", "4.0", "integers"),  # pyright: ignore[reportArgumentType]
    "channels": (lambda: conv()(on(GRID, 5)), "Conv(2, 3", "5 channels", "give 2 channels"),
    "tensor": (lambda: conv()(torch.zeros(1, 16, 2)), "Conv(2, 3", "a Tensor", "give a Signal"),
    "tensor to a norm": (
        lambda: g.BatchNorm(2)(torch.zeros(1, 16, 2)),
        "BatchNorm(2)",
        "a Tensor",
        "give a Signal",
    ),
    "signal": (lambda: TYPED(on(g.Chain(6))), "on=Chain(5)", "a Signal on Chain(6)", "a tensor"),
    "placed nodes": (lambda: TYPED(torch.zeros(1, 6, 2)), "Chain(5)", "6 nodes", "give [B, 5, C]"),
    "placed list": (lambda: TYPED([1.0]), "a Signal", "a list", "give a tensor"),
    "edge types": (
        lambda: TYPED.over(g.window(3, axes=1)),
        "",
        "3 edge types in place of 9",
        "as many types",
    ),
    "edge types of the domain": (
        lambda: g.Conv(2, 3, g.all_pairs("orbit"), on=g.Grid(5, periodic=True)).compute(
            on(g.Grid(8, periodic=True)), None, g.all_pairs("orbit")
        ),
        "",
        "weights for 3 edge types where the domain has 5",
        "on=domain",
    ),
    "dtype": (
        lambda: conv().double()(on(GRID)),
        "Conv",
        "torch.float32 and parameters of torch.float64",
        ".to(dtype)",
    ),
    "device": (
        lambda: conv().to("meta")(on(GRID)),
        "Conv",
        "the signal on cpu and the layer on meta",
        ".to(device)",
    ),
    "refusing lowering": (
        lambda: forced("lattice", conv(g.adjacency("sym", self_loops=True)))(on(RING)),
        "'lattice'",
        "no window",
        "'auto'",
    ),
    "refusing mean": (
        lambda: forced("mean", conv())(on(GRID)),
        "'mean'",
        "not all receive from all",
        "'auto'",
    ),
    "unknown lowering": (
        lambda: forced("latice", conv()),
        "'latice'",
        "",
        "did you mean 'lattice'?",
    ),
    "unknown everywhere": (
        lambda: g.set_lowering(conv(), "spm"),
        "'spm'",
        "",
        "did you mean 'spmm'?",
    ),
    "score": (lambda: g.Attention(8, g.all_pairs(), score="dto"), "score='dto'", "", "dot"),
    "cells": (lambda: g.Recurrent(1, 1, ["lstm"]), "cell=['lstm']", "", "'lstm'"),
    "scores": (lambda: g.Attention(8, g.all_pairs(), score=["dot"]), "score=['dot']", "", "dot"),
    "activations": (
        lambda: g.models.transformer_encoder(8, activation=["relu"]),
        "activation=['relu']",
        "",
        "relu",
    ),
    "cell": (lambda: g.Recurrent(1, 1, "lstn"), "cell='lstn'", "", "did you mean 'lstm'?"),
    "reduce": (lambda: g.Pool(g.whole(), "men"), "reduce='men'", "", "did you mean 'mean'?"),
    "message reduce": (
        lambda: g.Message(twice, g.past(), "summ"),
        "reduce='summ'",
        "",
        "did you mean 'sum'?",
    ),
    "no reduction": (
        lambda: g.Message(twice, g.past(), ()),
        "reduce=()",
        "no reduction",
        "give one at least",
    ),
    "one of several reductions": (
        lambda: g.Message(twice, g.past(), ("max", "softmx")),
        "reduce=('max', 'softmx')",
        "",
        "did you mean 'softmax'?",
    ),
    "max_edges": (
        lambda: g.Message(twice, g.past(), max_edges=0),
        "max_edges=0",
        "the size 0",
        "positive integers",
    ),
    "reads_globals": (
        lambda: g.Message(twice, g.past(), reads_globals=1),
        "reads_globals=1",
        "",
        "give True or False",
    ),
    "heads": (
        lambda: g.Attention(10, g.all_pairs(), heads=4),
        "heads=4",
        "do not divide",
        "head_dim",
    ),
    "no heads": (
        lambda: g.Attention(8, g.all_pairs(), heads=0),
        "heads=0",
        "the size 0",
        "positive integers",
    ),
    "negative heads": (
        lambda: g.Attention(8, g.all_pairs(), heads=-2),
        "heads=-2",
        "the size -2",
        "positive integers",
    ),
    "no head": (
        lambda: g.Attention(8, g.all_pairs(), heads=2, head_dim=0),
        "head_dim=0",
        "the size 0",
        "positive integers",
    ),
    "dropout of no weights": (
        lambda: g.Attention(8, g.past(), score="linear", dropout=0.1),
        "score='linear', dropout=0.1",
        "in which no single weight stands",
        "leave it 0",
    ),
    "dropout": (lambda: g.Dropout(1.0), "Dropout(1.0)", "", "in [0, 1)"),
    "draws": (lambda: g.Dropout(0.5, draws="unifrom"), "draws='unifrom'", "", "'uniform'?"),
    "no channels": (
        lambda: g.Conv(0, 3, g.window(3)),
        "Conv(0, 3)",
        "the size 0",
        "positive integers",
    ),
    "float channels": (
        lambda: g.Conv(2, 3.0, g.window(3)),
        "Conv(2, 3.0)",
        "the size 3.0",
        "positive integers",
    ),
    "no groups": (
        lambda: g.Conv(4, 4, g.window(3), groups=0),
        "Conv(4, 4, groups=0)",
        "the size 0",
        "positive integers",
    ),
    "groups of unequal channels in": (
        lambda: g.Conv(5, 4, g.window(3), groups=2),
        "Conv(5, 4, groups=2)",
        "channels that 2 groups do not divide",
        "choose groups that divide channels_in and channels_out",
    ),
    "groups of unequal channels out": (
        lambda: g.Conv(4, 6, g.window(3), groups=4),
        "Conv(4, 6, groups=4)",
        "channels that 4 groups do not divide",
        "choose groups that divide",
    ),
    "no rule to propagate over": (
        lambda: g.Propagate(3),
        "Propagate over 3",
        "a int",
        "give a rule",
    ),
    "no hidden": (lambda: g.Recurrent(2, 0), "Recurrent(2, 0)", "the size 0", "positive integers"),
    "no norm": (lambda: g.BatchNorm(-1), "BatchNorm(-1)", "the size -1", "positive integers"),
    "a number for a rule": (lambda: g.Conv(2, 3, 3), "over 3", "a int", "give a rule"),
    "a function for a rule": (lambda: g.Pool(g.whole), "Pool", "a function", "give a rule"),
    "over no rule": (lambda: attention().over(5), "over 5", "a int", "give a rule"),
    "certify": (lambda: g.certify(3, GRID), "certify(3)", "a int", "give a rule"),
}
CONTAINERS = {
    "tensor in a row": (
        lambda: g.Sequential(nn.ReLU())(torch.zeros(1, 16, 2)),
        "ReLU",
        "a Tensor",
        "give a Signal",
    ),
    "conv2d": (
        lambda: g.Sequential(nn.Conv2d(2, 3, 3)),
        "nn.Conv2d",
        "another axis",
        "use g.Conv over window(...), or g.interop.from_torch(module)",
    ),
    "nested": (
        lambda: g.Residual(nn.Sequential(nn.BatchNorm2d(2))),
        "nn.BatchNorm2d",
        "another axis",
        "use g.BatchNorm(channels)",
    ),
    "norm of nodes": (
        lambda: g.Sequential(nn.LayerNorm([16, 2])),
        "nn.LayerNorm",
        "another axis",
        "use nn.LayerNorm(channels)",
    ),
    "slope per node": (
        lambda: g.Concat(nn.PReLU(16)),
        "nn.PReLU",
        "another axis",
        "use nn.PReLU()",
    ),
    "softmax of nodes": (
        lambda: g.Sequential(nn.Softmax(dim=1)),
        "nn.Softmax",
        "another axis",
        "use nn.Softmax(dim=-1)",
    ),
    "layer in torch": (
        lambda: g.Sequential(nn.Sequential(conv())),
        "Conv inside a plain Sequential",
        "",
        "geodl's own",
    ),
    "class": (lambda: g.Sequential(nn.ReLU), "a container", "a type", "nn.ReLU()"),
    "no parts": (lambda: g.Concat(), "Concat()", "no layers", "at least one"),
    "shortcut": (
        lambda: g.Residual(conv())(on(GRID)),
        "Residual",
        "[1, 16, 3]",
        "keep domain and channels",
    ),
    "sides": (
        lambda: g.Concat(conv(), g.Readout())(on(GRID)),
        "Concat",
        "Complete(1)",
        "on one domain",
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_refused_in_words(name):
    assert_refused(LAYERS[name])


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_are_refused_in_words(name):
    assert_refused(CONTAINERS[name])


def test_a_scripted_module_is_promised_to_be_pointwise():
    s = g.Signal.sequence(torch.randn(1, 3, 4))
    assert torch.equal(g.Sequential(g.Pointwise(SCRIPTED))(s).x, s.x.relu())

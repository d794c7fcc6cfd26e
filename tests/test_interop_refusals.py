"""What a conversion refuses, in words, one entry of the registry after another."""

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch as PygBatch
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv, GINConv, SAGEConv, TAGConv

import geodl as g
from geodl.interop import from_pyg, from_torch, to_pyg, to_torch


class MyLinear(nn.Linear):
    pass


def hooked():
    module = nn.Linear(2, 2)
    module.register_forward_hook(lambda *_: None)
    return nn.Sequential(module)


def complex_linear():
    return nn.Linear(2, 2, dtype=torch.complex64)


def replaced():
    module = nn.Linear(2, 2)
    module.forward = lambda x: 2 * x
    return module


def watched():
    module = nn.Linear(2, 2)
    module.weight.register_hook(lambda grad: 2 * grad)
    return module


def pruned():
    module = nn.Linear(2, 2, bias=False)
    module.weight = nn.Parameter(torch.zeros(1, 2))
    return module


REFUSED = [
    (
        lambda: nn.Conv2d(1, 1, 3, padding_mode="reflect"),
        "padding_mode='reflect', which copies values to positions outside of the grid; use zeros",
    ),
    (lambda: nn.Conv1d(1, 1, 3, padding_mode="replicate"), "padding_mode='replicate'"),
    (lambda: nn.LSTM(3, 4, proj_size=2), "proj_size=2; a state has one width here"),
    (
        lambda: nn.MultiheadAttention(4, 2, kdim=3),
        "kdim=3, vdim=4; keys and values are read from one signal",
    ),
    (lambda: nn.MultiheadAttention(4, 2, vdim=3), "kdim=4, vdim=3"),
    (
        lambda: nn.MultiheadAttention(4, 2, add_bias_kv=True),
        "add_bias_kv=True, a sender that is not a node",
    ),
    (
        lambda: nn.MultiheadAttention(4, 2, add_zero_attn=True),
        "add_zero_attn=True, a sender that is not a node",
    ),
    (lambda: nn.MultiheadAttention(4, 2, dropout=1.0), "dropout=1.0.; give a probability in"),
    (
        lambda: nn.Bilinear(2, 2, 2),
        r"from_torch\(Bilinear\): found a type with no converter; did you mean 'Linear'",
    ),
    (lambda: nn.PixelUnshuffle(2), "a type with no converter; choose from"),
    (lambda: nn.PixelShuffle(2), "a type with no converter; choose from .*Conv2d"),
    (
        lambda: MyLinear(2, 2),
        "a subclass of Linear may compute something else: copy its weights into a plain one",
    ),
    (lambda: nn.LazyLinear(2), "parameters without a shape; call the module once first"),
    (
        lambda: nn.utils.parametrizations.weight_norm(nn.LSTM(2, 2), "weight_hh_l0"),
        "parametrizations of weight_hh_l0; make them plain first",
    ),
    (hooked, "hooks on its Linear, which would be lost; remove them first"),
    (
        lambda: nn.Sequential(*[nn.Linear(2, 2)] * 2),
        "one parameter called 0.weight and 1.weight, which would become two",
    ),
    (complex_linear, "complex parameters of its Linear; signals are real"),
    (replaced, "a Linear whose forward was replaced; give the module as its class made"),
    (watched, "hooks on a parameter of its Linear, which would be lost"),
    (
        pruned,
        r"the weight of a Linear: found shape .1, 2, 1. where the options say .1, 2, 2.; build it",
    ),
    (
        lambda: nn.Embedding(3, 2, scale_grad_by_freq=True),
        "scale_grad_by_freq=True, which changes gradients or vectors; build it without",
    ),
    (lambda: nn.Embedding(3, 2, max_norm=1.0), "max_norm=1.0, which changes gradients or vectors"),
    (lambda: nn.MaxPool2d(2, return_indices=True), "return_indices=True; pool without indices"),
    (
        lambda: nn.MaxPool2d(2, 3, ceil_mode=True),
        "ceil_mode=True with a kernel of 2 and padding 2 behind; use a larger kernel",
    ),
    (
        lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True),
        "ceil_mode=True with padding that counts, of which a border has less",
    ),
    (lambda: nn.FractionalMaxPool2d(2, output_size=2), "a type with no converter"),
    (lambda: nn.AdaptiveAvgPool2d(1), r"use g.Readout\(\)"),
    (lambda: nn.Flatten(), r"use g.Readout\(\)"),
    (lambda: nn.LSTMCell(2, 2), "use g.Recurrent, and its step for one node at a time"),
    (lambda: nn.Dropout2d(), r"use g.Dropout\(p\)"),
    (lambda: nn.ReLU(), "a pointwise module needs no conversion: put it into a g.Sequential"),
]


@pytest.mark.parametrize(("module", "why"), REFUSED)
def test_from_torch_refuses(module, why):
    with pytest.raises(g.GeodlError, match=why):
        from_torch(module())


@pytest.mark.parametrize(
    ("module", "domain", "why"),
    [
        (
            nn.Sequential(nn.Linear(2, 2)),
            g.Chain(3),
            "a container, which takes Signals; convert without on=",
        ),
        (
            nn.LSTM(2, 2, num_layers=2),
            g.Chain(3),
            "several layers, which take Signals; convert without on=",
        ),
        (
            nn.GRU(2, 2, bidirectional=True),
            g.Chain(3),
            "several layers, which take Signals; convert without on=",
        ),
        (
            nn.ConvTranspose1d(1, 1, 3),
            g.Grid(5, periodic=True),
            "torch transposes convolutions on bounded domains only",
        ),
        (
            nn.ConvTranspose1d(1, 1, 3, dilation=2, output_padding=1),
            g.Grid(5),
            "nodes of .* that no edge reaches; use less than",
        ),
        (
            nn.ConvTranspose1d(1, 1, 3, stride=2, output_padding=1),
            g.Complete(5),
            "no lattice of as many axes",
        ),
    ],
)
def test_from_torch_refuses_on_a_domain(module, domain, why):
    with pytest.raises(g.GeodlError, match=why):
        from_torch(module, on=domain)


def lstm(hidden=4, rule=None, cell="lstm", channels=4):
    return g.Recurrent(channels, hidden, cell, rule)


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (
            g.Conv(2, 2, g.adjacency("sym", self_loops=True)),
            r"adjacency.*which no torch.nn module computes; to_pyg converts it",
        ),
        (
            g.Conv(2, 2, g.all_pairs("self")),
            r"these have twins: Conv over .*itself\(\)",
        ),
        (
            g.Conv(2, 2, g.window(3, axes=1, padding="causal")),
            "differs between the two sides; use nn.ZeroPad and a valid window",
        ),
        (
            g.Conv(2, 2, g.window(2, axes=1, padding=((0, 1),), stride=2)),
            "differs between the two sides; use nn.ZeroPad",
        ),
        (
            g.Conv(2, 2, g.window(3, axes=1, padding="causal").reverse()),
            "two sides; torch pads both sides of transposed windows equally",
        ),
        (
            g.Conv(2, 2, g.window(3, axes=1).reverse(onto=g.Grid(4, periodic=True))),
            "a periodic domain; torch transposes",
        ),
        (
            lstm(rule=g.previous().reverse()),
            "a form that nn.RNN, nn.GRU and nn.LSTM do not have; give a Sequential of",
        ),
        (lstm(rule=g.predecessors()), "a form that nn.RNN"),
        (g.Sequential(lstm(), lstm(3)), "layers of different cells, widths or directions"),
        (g.Sequential(lstm(), lstm(cell="gru")), "layers of different cells, widths or directions"),
        (
            g.Sequential(lstm(), g.Concat(lstm(), lstm(rule=g.previous().reverse()))),
            "different cells, widths or directions",
        ),
        (
            g.Sequential(lstm(), g.Dropout(0.1), lstm(), g.Dropout(0.2), lstm()),
            "a form that nn.RNN",
        ),
        (g.Sequential(lstm(), g.Dropout(0.1), lstm(), lstm()), "a form that nn.RNN"),
        (g.Sequential(lstm(), g.Dropout(0.1)), "a form that nn.RNN"),
        (g.Sequential(g.Conv(4, 4, g.itself()), lstm()), "a form that nn.RNN"),
        (g.Concat(lstm(), lstm()), "a form that nn.RNN"),
        (g.Concat(g.Conv(4, 4, g.itself())), "a form that nn.RNN"),
        (
            g.Attention(4, g.past(), heads=2),
            (
                r"past\(\); convert layer.over\(all_pairs\(\)\) "
                r"and give the missing edges as attn_mask"
            ),
        ),
        (
            g.Attention(4, g.all_pairs(), heads=2, head_dim=3),
            r"6 inner channels for 4; choose heads \* head_dim = channels",
        ),
        (
            g.Attention(4, g.all_pairs(), heads=2, relative=True),
            "a relative bias; nn.MultiheadAttention knows the plain dot product",
        ),
        (g.Pool(g.whole()), r"whole\(\), which no torch.nn module computes; these have twins"),
        (g.Pool(g.window(2, stride=2), "min"), "which no torch.nn module computes"),
        (g.Readout(), "which no torch.nn module computes"),
        (g.Message(lambda i, j, e: j, g.adjacency()), "a type with no twin"),
        (
            g.models.seq2seq(5, 7),
            "no attention in its encoder, where nn.Transformer has it; convert its recurrent",
        ),
        (nn.ReLU(), "a type with no twin; it is a module of torch.nn already"),
    ],
)
def test_to_torch_refuses(layer, why):
    with pytest.raises(g.GeodlError, match=why):
        to_torch(layer)


def listened():
    module = GCNConv(2, 2)
    module.register_message_forward_hook(lambda *_: None)
    return module


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (
            lambda: TAGConv(2, 2),
            r"from_pyg\(TAGConv\): found a type with no converter; did you mean",
        ),
        (
            lambda: GCNConv(2, 2, improved=True),
            "improved=True; give the graph self-loops of weight 2",
        ),
        (
            lambda: GCNConv(2, 2, flow="target_to_source"),
            "flow='target_to_source'; reverse the edges",
        ),
        (
            lambda: GCNConv(2, 2, aggr="mean"),
            "aggr='mean'; 'add', 'sum' are converted; write other reductions as a Message",
        ),
        (lambda: GCNConv(2, 2, node_dim=-1), r"node_dim=-1; signals are \[B, N, C\]"),
        (listened, "hooks on its GCNConv, which would be lost"),
        (lambda: GCNConv(-1, 2), "parameters without a shape; call the module once first"),
        (lambda: SAGEConv(2, 2, aggr="lstm"), "aggr='lstm'; 'mean', 'max', 'min'"),
        (lambda: GINConv(nn.Linear(2, 2), flow="target_to_source"), "reverse the edges"),
    ],
)
def test_from_pyg_refuses(module, why):
    with pytest.raises(g.GeodlError, match=why):
        from_pyg(module())


@pytest.mark.parametrize(
    "rule",
    [
        g.adjacency("row", self_loops=True),
        g.adjacency(self_loops=True),
        g.adjacency("sym", self_loops=True, types=2),
        g.past(),
    ],
)
def test_to_pyg_refuses(rule):
    with pytest.raises(
        g.GeodlError,
        match="which no torch_geometric.nn module computes; these have twins: Conv over",
    ):
        to_pyg(g.Conv(2, 2, rule))


def test_to_pyg_refuses_other_verbs():
    for layer in (g.Pool(g.whole()), g.Sequential(g.Conv(2, 2, g.adjacency()))):
        with pytest.raises(
            g.GeodlError,
            match="a type with no twin; choose from Attention, BatchNorm, Conv, Network",
        ):
            to_pyg(layer)


def test_what_is_no_module_or_no_domain_is_told():
    layer = g.Conv(2, 2, g.window(3))
    for convert in (from_torch, to_torch, from_pyg, to_pyg):
        with pytest.raises(g.GeodlError, match="found a int; give a module of torch.nn"):
            convert(5)
    for convert, module in (
        (from_torch, nn.Linear(2, 2)),
        (to_torch, layer),
        (from_pyg, GCNConv(2, 2)),
    ):
        with pytest.raises(g.GeodlError, match="with on=5: found a int; give a domain"):
            convert(module, on=5)


def test_a_graph_at_the_door_of_models_is_shown_its_own():
    data = Data(torch.ones(2, 3), torch.tensor([[0], [1]]))
    for graph in (data, PygBatch.from_data_list([data])):
        with pytest.raises(g.GeodlError, match=r"Signal.from_pyg\(data\), a domain by Graph.from"):
            from_pyg(graph)
    with pytest.raises(g.GeodlError, match=r"a graph goes back by graph.to_pyg\(\)"):
        to_pyg(g.Graph([[0], [1]]))

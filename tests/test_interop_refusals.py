"""What a conversion refuses, one entry of the registry after another."""

import pytest
from torch import nn
from torch_geometric.nn import GATConv, GCNConv

import geodl as g
from geodl.interop import from_pyg, from_torch, to_pyg, to_torch


class MyLinear(nn.Linear):
    pass


def hooked():
    module = nn.Linear(2, 2)
    module.register_forward_hook(lambda *_: None)
    return nn.Sequential(module)


REFUSED = [
    (
        lambda: nn.Conv2d(4, 4, 3, groups=2),
        "groups=2; a Conv mixes all channels: convert one Conv for each group",
    ),
    (lambda: nn.ConvTranspose1d(4, 4, 3, groups=4), "groups=4"),
    (
        lambda: nn.Conv2d(1, 1, 3, padding_mode="reflect"),
        "padding_mode='reflect', which invents values where no node is; use zeros",
    ),
    (lambda: nn.Conv1d(1, 1, 3, padding_mode="replicate"), "padding_mode='replicate'"),
    (
        lambda: nn.ConvTranspose2d(1, 1, 3, stride=2, output_padding=1),
        "output_padding=.1, 1.; name its input's domain with on=",
    ),
    (lambda: nn.LSTM(3, 4, proj_size=2), "proj_size=2; a state has one width here"),
    (
        lambda: nn.MultiheadAttention(4, 2, kdim=3),
        "kdim=3, vdim=4; receivers and senders have one width here",
    ),
    (lambda: nn.MultiheadAttention(4, 2, vdim=3), "kdim=4, vdim=3"),
    (
        lambda: nn.MultiheadAttention(4, 2, add_bias_kv=True),
        "add_bias_kv=True, a sender that is no node",
    ),
    (
        lambda: nn.MultiheadAttention(4, 2, add_zero_attn=True),
        "add_zero_attn=True, a sender that is no node",
    ),
    (lambda: nn.MultiheadAttention(4, 2, dropout=1.0), "dropout=1.0.; give a probability in"),
    (
        lambda: nn.Bilinear(2, 2, 2),
        r"from_torch\(Bilinear\): found a type with no converter; did you mean 'Linear'",
    ),
    (lambda: nn.BatchNorm2d(2), "a type with no converter; choose from .*Conv2d"),
    (
        lambda: MyLinear(2, 2),
        "a subclass of Linear may compute something else: copy its weights into a plain one",
    ),
    (lambda: nn.LazyLinear(2), "parameters without a shape; call the module once first"),
    (
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
        "parametrizations of weight; make them plain first",
    ),
    (
        lambda: nn.Sequential(nn.utils.parametrizations.orthogonal(nn.Linear(2, 2))),
        "parametrizations of weight",
    ),
    (hooked, "hooks on its Linear, which would be lost; remove them first"),
    (
        lambda: nn.Sequential(*[nn.Linear(2, 2)] * 2),
        "one parameter called 0.weight and 1.weight, which would become two",
    ),
    (
        lambda: nn.Sequential(nn.Conv1d(2, 2, 1), nn.Linear(2, 2)),
        "Conv1d, with channels on axis 1, and Linear, on the last",
    ),
    (
        lambda: nn.Sequential(nn.Conv1d(2, 2, 1), nn.LayerNorm(2)),
        "Conv1d, with channels on axis 1, and LayerNorm, on the last",
    ),
    (
        lambda: nn.Sequential(nn.Linear(2, 2), nn.LSTM(2, 2)),
        "LSTM, which may take or return more than one tensor",
    ),
    (
        lambda: nn.Sequential(nn.Linear(2, 2), nn.LayerNorm((3, 2))),
        "LayerNorm.*a type with no converter",
    ),
    (lambda: nn.Sequential(nn.Linear(2, 2), nn.Softmax(-1)), "Softmax.*a type with no converter"),
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
            r"adjacency.*which no torch.nn module computes; to_pyg knows graph convolutions",
        ),
        (
            g.Conv(2, 2, g.all_pairs("self")),
            r"itself\(\), window\(...\) and its reverse have twins",
        ),
        (g.Conv(2, 2, g.lift(3, group=g.C(4))), "lift.*which no torch.nn module computes"),
        (g.Conv(2, 2, g.window(3, group=g.C(4))), "group=C4.*which no torch.nn module computes"),
        (
            g.Conv(2, 2, g.isotropic(3, group=g.D(4)).reverse()),
            "isotropic.*which no torch.nn module computes",
        ),
        (
            g.Conv(2, 2, g.window(3, axes=1, padding="causal")),
            "unlike on both sides; use nn.ZeroPad and a valid window",
        ),
        (
            g.Conv(2, 2, g.window(2, axes=1, padding=((0, 1),), stride=2)),
            "unlike on both sides; use nn.ZeroPad",
        ),
        (
            g.Conv(2, 2, g.window(3, axes=1, padding="causal").reverse()),
            "unlike on both sides; torch pads transposed windows alike",
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
        (g.Pool(g.window(2, stride=2)), r"to_torch\(Pool\): found a type with no twin"),
        (
            g.Sequential(g.Conv(2, 2, g.window(1)), g.Conv(2, 2, g.itself())),
            "Conv2d, with channels on axis 1, and Linear, on the last",
        ),
        (g.Sequential(nn.Linear(2, 2)), r"to_torch\(Linear\): found a type with no twin"),
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
            lambda: GATConv(2, 2),
            r"from_pyg\(GATConv\): found a type with no converter; GCNConv has one",
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
            "aggr='mean'; a Conv adds; write other reductions as a Message",
        ),
        (listened, "hooks on its GCNConv, which would be lost"),
        (lambda: GCNConv(-1, 2), "parameters without a shape; call the module once first"),
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
        g.itself(),
    ],
)
def test_to_pyg_refuses(rule):
    with pytest.raises(
        g.GeodlError, match="which GCNConv does not compute; it computes a Conv over adjacency"
    ):
        to_pyg(g.Conv(2, 2, rule))


def test_to_pyg_refuses_other_verbs():
    with pytest.raises(g.GeodlError, match="another verb, which GCNConv does not compute"):
        to_pyg(g.Pool(g.whole()))

"""Row 08 of `geodl verify`: each claim about Transformers rejects a fault planted in what it
proves.
"""

import pytest
import torch

import geodl as g
from geodl.interop import transformer_block
from geodl.layer import containers
from geodl.lowering import Store, plans, scores
from geodl.neighborhood import order
from geodl.neighborhood.edges import untyped
from geodl.verify import transformers


@pytest.fixture
def _unplanned(monkeypatch):
    """No plan from before: a fault in how plans are made shows."""
    monkeypatch.setattr(plans, "VALUES", Store())


def no_shortcut(patch):
    patch.setattr(containers, "_added", lambda kept, y: y)


def keys_for_queries(patch):
    project = g.Attention._project

    def swapped(self, receiver, sender):
        query, key, value = project(self, receiver, sender)
        return (key, query, value) if key.shape == query.shape else (query, key, value)

    patch.setattr(g.Attention, "_project", swapped)


def unscaled(patch):
    patch.setitem(scores.SCORES, "dot", scores.PRODUCT)


def hears_the_future(patch):
    def all_of_it(self, domain, target):
        pairs = torch.ones(target.num_nodes, domain.num_nodes).nonzero()
        return untyped(pairs[:, 0], pairs[:, 1])

    patch.setattr(order.Past, "_edges", all_of_it)


def hears_the_target(patch):
    """A decoder whose cross-attention forgets the memory."""
    patch.setattr(g.Cross, "forward", lambda self, receiver, sender=None: self.layer(receiver))


def knows_the_place(patch):
    project = g.Attention._project

    def counted(self, receiver, sender):
        query, key, value = project(self, receiver, sender)
        return query, key + torch.arange(key.shape[1])[:, None, None], value

    patch.setattr(g.Attention, "_project", counted)


def no_positions(patch):
    patch.setattr(g.SinusoidalPositions, "compute", lambda self, receiver, sender, rule: receiver)


def no_mask(patch):
    patch.setattr(transformers, "over", lambda layer, rule: layer)


def padding_is_heard(patch):
    patch.setattr(
        g.Signal, "sequence", lambda x, mask: g.Signal(x[mask][None], g.Chain(int(mask.sum())))
    )


def norms_exchanged(patch):
    branches = transformer_block._read

    def turned(block):
        norm_first, norms, layers = branches(block)
        return norm_first, norms[::-1], layers

    patch.setattr(transformer_block, "_read", turned)


def bias_lost(patch):
    convert = transformer_block.from_attention

    def lossy(module, on):
        layer = convert(module, on)
        torch.nn.init.zeros_(layer.in_proj_bias)
        return layer

    patch.setattr(transformer_block, "from_attention", lossy)


@pytest.mark.usefixtures("_unplanned")
@pytest.mark.parametrize(
    ("claim", "fault", "seen_in"),
    [
        ("blocks", no_shortcut, "08 nn.TransformerEncoderLayer, post-norm"),
        ("blocks", keys_for_queries, "08 nn.TransformerEncoderLayer, post-norm"),
        ("blocks", unscaled, "08 nn.TransformerEncoderLayer, post-norm"),
        ("blocks", hears_the_future, "08 nn.TransformerEncoderLayer, post-norm, causal"),
        ("blocks", hears_the_target, "08 nn.TransformerDecoderLayer, post-norm"),
        ("padding", padding_is_heard, "08 padding = missing nodes, post-norm, 4 layers"),
        (
            "permutations",
            knows_the_place,
            "08 nodes in another order, nn.TransformerEncoder, post-norm, 4 layers: the answer",
        ),
        (
            "permutations",
            no_positions,
            "08 nodes in another order, nn.TransformerEncoder, post-norm, 4 layers, positions",
        ),
        (
            "permutations",
            no_mask,
            "08 nodes in another order, nn.TransformerEncoder, post-norm, 4 layers, a causal mask",
        ),
        ("swapped", norms_exchanged, "08 trained here, given to nn.TransformerEncoder, post-norm"),
    ],
)
def test_a_planted_fault_is_seen(claim, fault, seen_in, monkeypatch):
    assert claim in {known.__name__ for known in transformers.CLAIMS}
    fault(monkeypatch)
    failed = next(row for row in getattr(transformers, claim)() if not row.passed)
    assert failed.claim.startswith(seen_in)


def test_a_lost_parameter_is_seen(monkeypatch):
    bias_lost(monkeypatch)
    with pytest.raises(ValueError, match="unpack"):
        next(transformers.blocks())

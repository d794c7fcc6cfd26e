"""A Transformer is a graph network: attention is messages on the complete graph, and a mask is a
missing edge.

    python examples/transformer_is_a_gnn.py

loads the weights of torch's encoder layer into `Attention`, calls it on the complete graph, on a
chain whose nodes attend to the past, and on a ring, and prints the largest difference from torch's
layer with no mask and with those two masks.
"""

import torch
from torch import Tensor, nn

import geodl as g

CHANNELS, HEADS, TOKENS = 32, 4, 12

torch.manual_seed(0)
twin = nn.TransformerEncoderLayer(
    CHANNELS, HEADS, dim_feedforward=64, dropout=0.0, batch_first=True
).double()
for parameter in twin.parameters():
    # Biases start at 0 and norms at 1: an error there would not show.
    nn.init.normal_(parameter, std=0.3)

attention = g.Attention(CHANNELS, g.all_pairs(), heads=HEADS).double()
attention.load_state_dict(twin.self_attn.state_dict())


def encoder(rule: g.Neighborhood) -> g.Sequential:
    """The encoder layer in which tokens attend by this rule; all of them share one set of
    weights.
    """
    feedforward = g.Residual(twin.linear1, nn.ReLU(), twin.linear2)
    return g.Sequential(g.Residual(attention.over(rule)), twin.norm1, feedforward, twin.norm2)


def missing_edges(domain: g.Domain, rule: g.Neighborhood) -> Tensor:
    """torch's mask `[receivers, senders]`: True at every pair that is not an edge."""
    edges = rule.edges(domain)
    mask = torch.ones(TOKENS, TOKENS, dtype=torch.bool)
    mask[edges.dst, edges.src] = False
    return mask


token = torch.arange(TOKENS)
senders = torch.cat([token, token.roll(1)])
receivers = torch.cat([token.roll(1), token])
ring = g.Graph(torch.stack([senders, receivers]), TOKENS)
cases = {
    "no mask, the complete graph": (g.Complete(TOKENS), g.all_pairs()),
    "a causal mask, a chain": (g.Chain(TOKENS), g.past()),
    "a ring's mask, a ring": (ring, g.adjacency(self_loops=True)),
}

x = torch.randn(3, TOKENS, CHANNELS, dtype=torch.float64)
largest = 0.0
for name, (domain, rule) in cases.items():
    mask = missing_edges(domain, rule)
    ours = encoder(rule)(g.Signal(x, domain)).x
    theirs = twin(x, src_mask=mask)
    largest = max(largest, (ours - theirs).abs().max().item())
    ran = attention.over(rule).explain(domain).lowering
    print(f"{name}: {int((~mask).sum())} edges, computed by {ran}")
print(f"largest difference from nn.TransformerEncoderLayer: {largest:.1e}")

"""One layer, one training loop, five domains: on each, a `Conv` learns from examples what another
`Conv` does.

    python examples/five_domains.py

prints what ran on each domain, and why each faster way before it refused; then one number: the
largest difference between a learnt weight and the one that made the examples.
"""

import argparse

import torch
from torch import nn

import geodl as g

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--steps", type=int, default=400)
args = parser.parse_args()

CASES = {
    "an image (CNN)": (g.Grid(8, 8), g.window(3)),
    "a sequence (causal convolution)": (g.Chain(24), g.window(3, axes=1, padding="causal")),
    "a set (DeepSets)": (g.Complete(10), g.all_pairs("self")),
    "a network of friends (GCN)": (
        g.data.karate().signal.domain,
        g.adjacency("sym", self_loops=True),
    ),
    "an image and its rotations (group CNN)": (
        g.GroupGrid(g.Grid(6, 6), g.C(4)),
        g.window(3, group=g.C(4)),
    ),
}

torch.manual_seed(0)
largest = 0.0
for name, (domain, rule) in CASES.items():
    teacher, student = g.Conv(3, 2, rule), g.Conv(3, 2, rule)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.05)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=args.steps)
    for _ in range(args.steps):
        examples = g.Signal(torch.randn(16, domain.num_nodes, 3), domain)
        with torch.no_grad():
            wanted = teacher(examples).x
        loss = nn.functional.mse_loss(student(examples).x, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    largest = max(largest, (student.weight - teacher.weight).abs().max().item())
    print(f"{name}: {student.explain(domain)}")
print(f"largest difference of a learnt weight after {args.steps} steps: {largest:.1e}")

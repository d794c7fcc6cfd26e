"""Two kinds of nodes, two relations: papers tell the fields of authors, who have no features."""

import torch
from torch import nn

import geodl as g

torch.manual_seed(0)
A, P, FIELDS = 200, 400, 4  # authors and papers
field, topic = torch.randint(FIELDS, (A,)), torch.randint(FIELDS, (P,))
wrote = torch.rand(A, P) < torch.where(field[:, None] == topic, 0.08, 0.01)
cites = torch.rand(P, P) < torch.where(topic[:, None] == topic, 0.04, 0.004)
to_authors = g.relation(wrote.nonzero().flip(1).T, senders=P, receivers=A)
to_papers = g.relation(cites.nonzero().flip(1).T, senders=P, receivers=P)
words = nn.functional.one_hot(topic).float() + torch.randn(P, FIELDS)

papers = g.Signal(words[None], g.Complete(P))
authors = g.Signal(torch.zeros(1, A, 1), g.Complete(A))
model = g.Network(
    ("papers", "authors"),
    {
        "own": (nn.Linear(FIELDS, 16), "papers"),
        "cited": (g.Conv(FIELDS, 16, to_papers), "papers"),
        "read": (g.Residual(nn.ReLU(), nn.Linear(16, 16)), "both"),
        "both": ("add", "own", "cited"),
        "field": (g.Conv(16, FIELDS, to_authors), "authors", "read"),
    },
)
train = torch.rand(A) < 0.3
optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-3)
for _ in range(100):
    logits = model(papers, authors).x[0]
    loss = nn.functional.cross_entropy(logits[train], field[train])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
right = model(papers, authors).x[0].argmax(-1) == field
print(f"{right[~train].float().mean():.1%} of the other authors told right (by chance 25 %)")

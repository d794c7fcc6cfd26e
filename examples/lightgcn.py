"""LightGCN (He et al., 2020): a recommender is a graph of users and items, one relation."""

import torch
from torch import nn

import geodl as g

torch.manual_seed(0)
USERS, ITEMS = 200, 100
taste, style = torch.randint(5, (USERS,)), torch.randint(5, (ITEMS,))
rated = torch.rand(USERS, ITEMS) < torch.where(taste[:, None] == style, 0.4, 0.03)
held_out = rated & (torch.rand(USERS, ITEMS) < 0.2)
known = rated & ~held_out
user, item = known.nonzero().T
degrees = known.sum(1).clamp(min=1)[user] * known.sum(0).clamp(min=1)[item]
likes = g.relation(known.nonzero().T, senders=USERS, receivers=ITEMS, weight=degrees.rsqrt())

users = nn.Parameter(0.1 * torch.randn(1, USERS, 16))
items = nn.Parameter(0.1 * torch.randn(1, ITEMS, 16))
to_items, to_users = g.Propagate(likes), g.Propagate(likes.reverse())


def scores() -> torch.Tensor:
    """Users by items, from embeddings and what went one and two steps along the ratings."""
    u, i = g.Signal(users, g.Complete(USERS)), g.Signal(items, g.Complete(ITEMS))
    once = to_users(u, i), to_items(i, u)
    twice = to_users(*once), to_items(*once[::-1])
    return (u + once[0] + twice[0]).x[0] @ (i + once[1] + twice[1]).x[0].T


optimizer = torch.optim.Adam([users, items], lr=0.02)
for _ in range(60):
    s, other = scores(), torch.randint(ITEMS, user.shape)
    loss = nn.functional.softplus(s[user, other] - s[user, item]).mean()  # rated above unrated
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
right = (scores()[held_out][:, None] > scores()[~rated].view(1, -1)).float().mean()
print(f"a rating held out ranks above an item not rated in {right:.1%} of pairs (by chance 50 %)")

"""GIN with edge features (GINE: Hu et al., 2020): which molecules of MUTAG cause mutations?"""

import torch
from torch import nn

import geodl as g


class Bond(nn.Module):
    """The message along a bond, `relu(x_j + W e_ij)`."""

    def __init__(self, channels: int):
        super().__init__()
        self.of_edge = nn.Linear(4, channels)

    def forward(self, x_i, x_j, e_ij):
        return torch.relu(x_j + self.of_edge(e_ij))


torch.manual_seed(0)
data, layers = g.data.mutag(), [nn.Linear(7, 32)]
for _ in range(3):
    sums = g.Residual(g.Message(Bond(32), g.adjacency()))
    layers += [sums, nn.Linear(32, 32), g.BatchNorm(32), nn.ReLU()]
model = g.Sequential(*layers, g.Readout("sum"), nn.Linear(32, 2))
loader = g.data.GraphLoader(data.signal, data.labels)
train, test = torch.randperm(188).split(150)
optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
for _ in range(40):
    for numbers in train[torch.randperm(150)].split(32):
        signal, labels = loader.batch(numbers)  # the bonds are the edge state of the signal
        loss = nn.functional.cross_entropy(model(signal).x[0], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
signal, labels = loader.batch(test)
right = model.eval()(signal).x[0].argmax(-1) == labels
print(f"mutag, 38 molecules held out: {right.float().mean():.1%} right")

"""A depthwise-separable block (MobileNet: Howard et al., 2017): `groups=` as many as channels."""

import torch
from torch import nn

import geodl as g


def block(channels_in: int, channels_out: int) -> g.Sequential:
    """A window of each channel for itself, then channels mixed at each pixel."""
    each = g.Conv(channels_in, channels_in, g.window(3), groups=channels_in)
    mixed = g.Conv(channels_in, channels_out, g.itself())
    return g.Sequential(each, g.BatchNorm(channels_in), nn.ReLU(), mixed, nn.ReLU())


torch.manual_seed(0)
data = g.data.digits()
images, labels = data.train
body = g.Sequential(g.Conv(1, 16, g.window(3)), block(16, 32), block(32, 32))
model = g.Sequential(body, g.Readout("mean"), nn.Linear(32, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

for _ in range(8):
    for batch in torch.randperm(len(labels)).split(64):
        logits = model(g.Signal.image(images[batch])).x[:, 0]
        loss = nn.functional.cross_entropy(logits, labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

model.eval()
images, labels = data.test
right = model(g.Signal.image(images)).x[:, 0].argmax(-1) == labels
print(f"digits: test accuracy {right.float().mean():.1%}")

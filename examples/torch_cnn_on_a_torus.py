"""A CNN of torch and a Transformer's block on edges of your choice, with the same weights."""

import torch
from torch import nn

import geodl as g


def off_by(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference of two answers."""
    return float((found - wanted).detach().abs().max())


torch.manual_seed(0)
cnn = nn.Sequential(
    nn.Conv2d(3, 8, 3, padding=1),
    nn.BatchNorm2d(8),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(8, 4, 3, padding=1),
).eval()
image = torch.randn(1, 3, 8, 8)
network = g.interop.from_torch(cnn, image)
print("imported, off by", off_by(network(image), cnn(image)), network.opaque())

wrapped = g.interop.over(network, g.Grid(8, 8, periodic=True))
moved = wrapped(image.roll((2, 4), (2, 3)))
answer = wrapped(image).roll((1, 2), (2, 3))
print("on a torus a shift is answered by a shift, off by", off_by(moved, answer))

block = g.interop.from_torch(nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True).eval())
patches = g.Signal(torch.randn(1, 36, 16), g.Grid(6, 6))
print(g.explain(g.interop.over(block, g.window(3)), patches))

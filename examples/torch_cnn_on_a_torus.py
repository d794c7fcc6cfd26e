"""A CNN of torch, and a vision Transformer's attention, on edges of your choice: the same weights."""

import torch
from torch import nn

import geodl as g

torch.manual_seed(0)
cnn = nn.Sequential(
    nn.Conv2d(3, 8, 3, padding=1),
    nn.BatchNorm2d(8),
    nn.ReLU(),
    nn.Upsample(scale_factor=2, mode="nearest"),
    nn.Conv2d(8, 4, 3, padding=1),
).eval()
image = torch.randn(1, 3, 8, 8)
network = g.interop.from_torch(cnn, image)
print("off by", float((network(image) - cnn(image)).abs().max()), "opaque:", network.opaque())

torus = g.Grid(8, 8, periodic=True)
wrapped = g.interop.over(network, torus)
moved = wrapped(image.roll((1, 2), (2, 3)))
shifted = wrapped(image).roll((2, 4), (2, 3))
print("on a torus a shift is answered by a shift, off by", float((moved - shifted).abs().max()))

block = nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True).eval()
patches = g.Signal(torch.randn(1, 36, 16), g.Grid(6, 6))
attention = g.interop.from_torch(block)
near = g.interop.over(attention, g.window(3))
print("attention to all patches, and to those around:")
print(g.explain(attention, patches))
print(g.explain(near, patches))

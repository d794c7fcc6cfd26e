"""How many weights locality and sharing save, and what small windows in a row save on top."""

import torch
from torch import nn

import geodl as g
from geodl.inspection import count_weights, receptive_field

image = g.Grid(1000, 1000)
print(f"from {image} to the next layer, one channel to one channel, windows of 10 x 10")
counts = count_weights(g.window(10, padding="valid"), g.Grid(1009, 1009))
print(f"    fully connected  {count_weights(g.window(1), image).connected:>17,} weights")
print(f"    locally          {counts.local:>17,} weights, one for each edge")
print(f"    convolution      {counts.shared:>17,} weights, one for each edge type")

print("the two ends, with torch's own weights in them:")
images = torch.randn(2, 3, 28, 28)
signal = g.Signal.image(images)
whole, linear = g.Conv(3, 10, g.window(28, padding="valid")), nn.Linear(3 * 28 * 28, 10)
g.interop.load_torch_state(whole, linear.state_dict())
same = torch.allclose(whole(signal).x[:, 0], linear(images.flatten(1)), atol=1e-5)
print(f"    a fully connected layer is a window as large as the image: {same}")
alone, pointwise = g.Conv(3, 10, g.itself()), nn.Conv2d(3, 10, 1)
g.interop.load_torch_state(alone, pointwise.state_dict())
same = torch.allclose(alone(signal).to_image(), pointwise(images), atol=1e-5)
print(f"    a 1 x 1 convolution is a self-edge: {same}")

print("windows of 3 x 3 in a row, against a single one that sees as far (64 channels):")
ones = g.Signal.image(torch.ones(1, 1, 15, 15))
for depth in (1, 2, 3, 4):
    row = g.Sequential(*(g.Propagate(g.window(3)) for _ in range(depth)))
    seen = int((receptive_field(row, ones, 112) > 0).sum())  # of the node in the middle
    side = 2 * depth + 1
    stacked, single = depth * 9 * 64 * 64, side * side * 64 * 64
    print(f"    {depth}: sees {seen} pixels, {stacked:,} weights; one of {side}: {single:,}")

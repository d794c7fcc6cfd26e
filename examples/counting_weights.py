"""How many weights locality and sharing save, and what small windows in a row save on top."""

import torch

import geodl as g
from geodl.inspection import count_weights, receptive_field

image = g.Grid(1000, 1000)
print(f"from {image} to the next layer, one channel to one channel, windows of 10 x 10")
counts = count_weights(g.window(10, padding="valid"), g.Grid(1009, 1009))
print(f"    fully connected  {count_weights(g.window(1), image).connected:>17,} weights")
print(f"    locally          {counts.local:>17,} weights, one for each edge")
print(f"    convolution      {counts.shared:>17,} weights, one for each edge type")

print("a fully connected layer is a window as large as the image:")
small = g.Grid(28, 28)
window = g.window(28, padding="valid")
print(f"    {count_weights(window, small)}, of 28 x 28 pixels to one node")

print("windows of 3 x 3 in a row, against a single one that sees as far (64 channels):")
grid = g.Grid(15, 15)
centre = grid.num_nodes // 2
ones = g.Signal(torch.ones(1, grid.num_nodes, 1), grid)
for depth in (1, 2, 3, 4):
    row = g.Sequential(*(g.Propagate(g.window(3)) for _ in range(depth)))
    seen = int((receptive_field(row, ones, centre) > 0).sum())
    side = 2 * depth + 1
    stacked = depth * g.window(3).num_edge_types * 64 * 64
    single = g.window(side).num_edge_types * 64 * 64
    print(f"    {depth}: sees {seen} pixels, {stacked:,} weights; one of {side}: {single:,}")

itself = count_weights(g.itself(), small)
print(f"a 1 x 1 convolution is a self-edge: {itself.local} edges of {itself.shared} type")

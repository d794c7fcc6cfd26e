"""Sigmoid, tanh and ReLU in depth, and the two pools: what gradients and maps become of them."""

import torch
from torch import nn

import geodl as g

torch.manual_seed(0)
image = g.Signal.image(torch.randn(8, 3, 16, 16))

print("the gradient at the first of 20 convolutions, over that at the last:")
for activation in (nn.Sigmoid, nn.Tanh, nn.ReLU):
    convs = [g.Conv(3 if depth == 0 else 16, 16, g.window(3), bias=False) for depth in range(20)]
    layers: list[nn.Module] = []
    for conv in convs:
        nn.init.normal_(conv.weight, std=(2 / (9 * 16)) ** 0.5)  # He et al., 2015
        layers += [conv, activation()]
    score = g.Sequential(*layers, g.Readout(), nn.Linear(16, 10))(image).x.square().sum()
    first, last = torch.autograd.grad(score, [convs[0].weight, convs[-1].weight])
    print(f"    {activation.__name__:8} {float(first.norm() / last.norm()):.1e}")

print("a bright pixel among zeros, and a grey square, after pools of 4 x 4:")
pixel, square = torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), 0.5)
pixel[0, 0, 1, 2] = 1.0
for name, picture in (("pixel", pixel), ("square", square)):
    pooled = [
        g.Pool(g.window(4, stride=4), how)(g.Signal.image(picture)) for how in ("max", "mean")
    ]
    most, mean = (float(signal.x) for signal in pooled)
    print(f"    {name:8} max {most:.2f}, mean {mean:.2f}")

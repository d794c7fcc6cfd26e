"""Gabor filters as a basis: a fixed one, and one that learns its angles and its wavelength."""

import torch
from torch.nn.utils import parametrize

import geodl as g

torch.manual_seed(0)
places = torch.cartesian_prod(torch.arange(9.0) - 4, torch.arange(9.0) - 4)
envelope = torch.exp(-places.square().sum(1, keepdim=True) / 8)


class Gabor(torch.nn.Module):
    """Filters `[81, 1, 1]` from the weights `[4, 1, 1]` of four waves under a Gaussian."""

    def __init__(self, angles: list[float]):
        super().__init__()
        self.angle, self.length = (torch.nn.Parameter(torch.tensor(a)) for a in (angles, [6.0]))

    def forward(self, weight):
        along = places @ torch.stack((self.angle.sin(), self.angle.cos()))
        waves = envelope * torch.cos(2 * torch.pi * along / self.length)
        return torch.einsum("kj,jio->kio", waves, weight)

    def right_inverse(self, filters):
        return torch.zeros(len(self.angle), 1, 1)


wave = Gabor([0.6])(torch.ones(1, 1, 1)).detach().view(9, 9, 1)
teacher, model = g.Conv(1, 1, g.window(9, basis=wave)), g.Conv(1, 1, g.window(9))
parametrize.register_parametrization(model, "weight", Gabor([0.0, 0.8, 1.6, 2.4]))
optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
image = g.Signal.image(torch.randn(16, 1, 12, 12))
wanted = teacher(image).x.detach()
for _ in range(150):
    optimizer.zero_grad()
    (model(image).x - wanted).square().mean().backward()
    optimizer.step()
print(f"{(model(image).x - wanted).var() / wanted.var():.4f} of the variance left")

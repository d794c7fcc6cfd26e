"""A training step of a ResNet of torch, imported, against the ResNet itself."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.bench.harness import Case, Side
from geodl.bench.meter import CPU
from geodl.interop import from_torch


class Sizes(NamedTuple):
    """Images in a step, their side, channels of the first stage, blocks in each of three stages."""

    batch: int = 64
    side: int = 32
    channels: int = 16
    blocks: int = 3


class Block(nn.Module):
    """He et al., "Deep Residual Learning for Image Recognition" (2016), as on CIFAR."""

    def __init__(self, channels_in: int, channels_out: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut = nn.Sequential()
        if channels_in != channels_out:
            projection = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        """Two convolutions beside a shortcut."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


USUAL = Sizes()


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """Forward, cross entropy, backward and SGD with momentum, the images' gradient included; torch
    in both memory formats, the import with the images as they come.
    """
    name = f"imported ResNet-{6 * sizes.blocks + 2}, batch {sizes.batch}"
    for peer, memory_format, reach in (
        ("torch, NCHW", torch.contiguous_format, 1.0),
        ("torch, channels-last", torch.channels_last, 1.1),
    ):
        yield Case(name, peer, *_sides(sizes, memory_format, device), reach)


def _sides(
    sizes: Sizes, memory_format: torch.memory_format, device: torch.device
) -> tuple[Side, Side]:
    images = torch.randn(sizes.batch, 3, sizes.side, sizes.side, device=device)
    labels = torch.randint(10, (sizes.batch,), device=device)
    twin: Any = resnet(sizes).to(device)
    net = from_torch(twin, images)
    twin.to(memory_format=memory_format)
    theirs = images.contiguous(memory_format=memory_format)
    ours = training(net, net.parameters(), images, labels)
    return ours, training(twin, twin.parameters(), theirs, labels)


def resnet(sizes: Sizes) -> nn.Module:
    """Three stages of blocks, and a linear layer on the mean."""
    first = sizes.channels
    layers: list[nn.Module] = [nn.Conv2d(3, first, 3, 1, 1, bias=False), nn.BatchNorm2d(first)]
    layers.append(nn.ReLU(inplace=True))
    before = first
    for stage in range(3):
        width = first * 2**stage
        for depth in range(sizes.blocks):
            stride = 2 if stage > 0 and depth == 0 else 1
            layers.append(Block(before, width, stride))
            before = width
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10))
    return nn.Sequential(*layers, *head)


def training(
    net: Callable[[Tensor], Tensor], parameters: Iterable[Tensor], images: Tensor, labels: Tensor
) -> Side:
    """Forward, cross entropy, backward and SGD with momentum, the images' gradient included.

    Args:
        net: images `[B, C, H, W]` to scores `[B, K]`.
        parameters: of the network.
        images: `[B, C, H, W]`.
        labels: `[B]`.
    """
    images = images.detach().requires_grad_()
    sgd = torch.optim.SGD(parameters, lr=0.01, momentum=0.9)

    def step() -> None:
        sgd.zero_grad()
        images.grad = None
        F.cross_entropy(net(images), labels).backward()
        sgd.step()

    def answer() -> list[Tensor]:
        # Batch norms learn from what they see: both sides see it equally often.
        return [net(images).detach()]

    return Side(step, answer)

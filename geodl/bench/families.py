"""A training step of each small classic network, against the same out of torch's modules alone."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from geodl import models
from geodl.bench.harness import Case
from geodl.bench.imported_resnet import training
from geodl.bench.meter import CPU
from geodl.interop import to_torch
from geodl.signal import Signal

NETWORKS: Mapping[str, Any] = {
    # Dropout draws differ on the two sides.
    "AlexNet": partial(models.small_alexnet, dropout=0.0),
    "ZFNet": partial(models.small_zfnet, dropout=0.0),
    "VGG": models.small_vgg,
    "VGG, 5x5": partial(models.small_vgg, repeats=1, window_size=5),
    "GoogLeNet": models.small_googlenet,
    "ResNet-20": models.cifar_resnet,
    "MobileNet": models.small_mobilenet,
}


class Sizes(NamedTuple):
    """Images in a step, and the networks by name."""

    batch: int = 128
    networks: Mapping[str, Any] = NETWORKS


USUAL = Sizes()


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """The networks of the `cifar10-*` recipes, a step as there but for the optimiser: SGD with
    momentum; torch's side in channels-last, the faster of its two memory formats.
    """
    images = torch.randn(sizes.batch, 3, 32, 32, device=device)
    labels = torch.randint(10, (sizes.batch,), device=device)
    for name, make in sizes.networks.items():
        net = make().to(device)
        twin: Any = to_torch(net)
        twin.to(memory_format=torch.channels_last)
        ours = training(partial(_answer, net), net.parameters(), images, labels)
        last = images.contiguous(memory_format=torch.channels_last)
        theirs = training(twin, twin.parameters(), last, labels)
        yield Case(f"{name}, batch {sizes.batch}", "torch, channels-last", ours, theirs)


def _answer(net: nn.Module, images: Tensor) -> Tensor:
    """The scores `[B, K]` of images `[B, C, H, W]`."""
    return net(Signal.image(images)).x[:, 0]

"""A training step of the P4CNN (forward, cross entropy, backward, Adam) against escnn's and against
a plain network.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.bench import peers
from geodl.bench.harness import Case, Side, device
from geodl.domain import Grid
from geodl.interop import from_escnn
from geodl.layer import Conv
from geodl.models import p4cnn
from geodl.signal import Signal

SIDE = 28


@dataclass(frozen=True)
class Sizes:
    """Images in a step, channels over each rotation."""

    batch: int = 128
    channels: int = 10


def cases(sizes: Sizes = Sizes()) -> Iterator[Case]:
    """escnn's network of the same widths; a network of conv2d with as many planes, in both memory
    formats.
    """
    name = f"P4CNN, {sizes.channels} channels, batch {sizes.batch}"
    if peers.escnn_missing():
        yield Case(name, "escnn P4CNN", reach=0.8, missing=peers.escnn_missing())
    else:
        yield Case(name, "escnn P4CNN", *_against_escnn(sizes), 0.8)
    note = "another function of the same planes: shapes compared, not values"
    for peer, memory_format, reach in (
        ("conv2d net NCHW", torch.contiguous_format, 1.0),
        ("conv2d net channels-last", torch.channels_last, 1.15),
    ):
        yield Case(name, peer, *_against_plain(sizes, memory_format), reach, note=note)


def _against_escnn(sizes: Sizes) -> tuple[Side, Side]:
    images, labels = _digits(sizes)
    # escnn's modules share their sampled bases: one that was made double elsewhere is double here
    # too.
    twin = _escnn_net(sizes.channels).to(device()).float()
    net = p4cnn(channels=sizes.channels).to(device())
    convolutions = [m for m in twin if type(m).__name__ == "R2Conv"]
    ours = [m for m in net if isinstance(m, Conv)]
    with torch.no_grad():
        for layer, conv in zip(ours, convolutions, strict=True):
            layer.load_state_dict(from_escnn(conv).state_dict())
    escnn, planes = peers.escnn(), peers.trivial()

    def logits() -> Tensor:
        return twin(escnn.GeometricTensor(images, planes)).tensor.flatten(1)

    return _ours(net, images, labels), Side(
        _training(twin, logits, labels), lambda: [logits().detach()]
    )


def _against_plain(sizes: Sizes, memory_format: torch.memory_format) -> tuple[Side, Side]:
    images, labels = _digits(sizes)
    net = p4cnn(channels=sizes.channels).to(device())
    twin: Any = _plain_net(sizes.channels * peers.SHEETS).to(device())
    twin.to(memory_format=memory_format)
    image = images.contiguous(memory_format=memory_format)

    def logits() -> Tensor:
        return twin(image).view(len(image), -1, peers.SHEETS).amax(-1)

    ours, theirs = (
        _ours(net, images, labels),
        Side(_training(twin, logits, labels), lambda: [logits().detach() * 0]),
    )
    return ours._replace(answer=lambda: [t * 0 for t in ours.answer()]), theirs


def _ours(net: nn.Module, images: Tensor, labels: Tensor) -> Side:
    signal = Signal(images.flatten(2).transpose(1, 2), Grid(SIDE, SIDE))

    def logits() -> Tensor:
        return net(signal).x[:, 0]

    return Side(_training(net, logits, labels), lambda: [logits().detach()])


def _training(net: nn.Module, logits: Callable[[], Tensor], labels: Tensor) -> Callable[[], Any]:
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)

    def step() -> None:
        adam.zero_grad()
        F.cross_entropy(logits(), labels).backward()
        adam.step()

    return step


def _digits(sizes: Sizes) -> tuple[Tensor, Tensor]:
    images = torch.rand(sizes.batch, 1, SIDE, SIDE, device=device())
    return images, torch.randint(sizes.channels, (sizes.batch,), device=device())


def _escnn_net(channels: int) -> Any:
    escnn, kind, layers = peers.escnn(), peers.trivial(), []
    for k in range(1, 7):
        made = peers.regular(channels)
        layers += [
            escnn.R2Conv(kind, made, 3),
            escnn.InnerBatchNorm(made),
            escnn.ReLU(made, inplace=True),
        ]
        layers += [escnn.PointwiseMaxPool(made, 2)] if k == 2 else []
        kind = made
    return escnn.SequentialModule(
        *layers, escnn.R2Conv(kind, peers.regular(10), 4), escnn.GroupPooling(peers.regular(10))
    )


def _plain_net(planes: int) -> nn.Module:
    layers: list[nn.Module] = []
    for k in range(1, 7):
        layers += [
            nn.Conv2d(1 if k == 1 else planes, planes, 3),
            nn.BatchNorm2d(planes),
            nn.ReLU(inplace=True),
        ]
        layers += [nn.MaxPool2d(2)] if k == 2 else []
    return nn.Sequential(*layers, nn.Conv2d(planes, 10 * peers.SHEETS, 4))

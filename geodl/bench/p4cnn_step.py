"""The P4CNN: a training step (forward, cross entropy, backward, Adam) against escnn's and against a
plain network; inference against what escnn exports; building it.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.bench import peers
from geodl.bench.harness import Case, Side
from geodl.bench.meter import CPU
from geodl.domain import Grid
from geodl.interop import from_escnn
from geodl.models import p4cnn
from geodl.signal import Signal

SIDE = 28
PEER = "escnn P4CNN"
EXPORTED = "escnn's exported plain network"
BUILT = ", built"
LIMIT = "at most 300 ms; escnn has its sampled bases from the first time"


class Sizes(NamedTuple):
    """Images in a step, channels over each rotation."""

    batch: int = 128
    channels: int = 10


class Digits(NamedTuple):
    """The images `[B, 1, 28, 28]` of a step and their classes `[B]`."""

    images: Tensor
    labels: Tensor


USUAL = Sizes()


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """escnn's network of the same widths; a network of conv2d with as many planes, in both memory
    formats.
    """
    name = f"P4CNN, {sizes.channels} channels, batch {sizes.batch}"
    if peers.escnn_missing():
        for kind, peer, reach in (
            ("", PEER, 0.8),
            (", inference", EXPORTED, 1.0),
            (BUILT, PEER, 1.0),
        ):
            yield Case(name + kind, peer, reach=reach, missing=peers.escnn_missing())
    else:
        yield Case(name, PEER, *_against_escnn(sizes, device), 0.8)
        yield Case(f"{name}, inference", EXPORTED, *_inference(sizes, device), 1.0)
        yield Case(name + BUILT, PEER, *_building(sizes), 1.0, note=LIMIT)
    note = "another function of the same planes: shapes compared, not values"
    for peer, memory_format, reach in (
        ("conv2d net NCHW", torch.contiguous_format, 1.0),
        ("conv2d net channels-last", torch.channels_last, 1.15),
    ):
        yield Case(name, peer, *_against_plain(sizes, memory_format, device), reach, note=note)


def _against_escnn(sizes: Sizes, device: torch.device) -> tuple[Side, Side]:
    batch = _digits(sizes, device)
    twin, net = _twins(sizes, device)
    escnn, planes = peers.escnn(), peers.trivial()

    def logits() -> Tensor:
        return twin(escnn.GeometricTensor(batch.images, planes)).tensor.flatten(1)

    step = _training(twin, logits, batch.labels)
    return _ours(net, batch), Side(step, lambda: [logits().detach()])


def _twins(sizes: Sizes, device: torch.device) -> tuple[Any, nn.Module]:
    """escnn's network, and ours with its weights."""
    # escnn's modules share their sampled bases: one that was made double elsewhere is double here
    # too.
    twin = _escnn_net(sizes.channels).to(device).float()
    return twin, from_escnn(twin).to(device)


def _inference(sizes: Sizes, device: torch.device) -> tuple[Side, Side]:
    images = _digits(sizes, device).images
    twin, net = _twins(sizes, device)
    signal = Signal(images.flatten(2).transpose(1, 2), Grid(SIDE, SIDE))
    net.eval()
    plain = twin.export()

    @torch.no_grad()
    def ours() -> Tensor:
        return net(signal).x[:, 0]

    @torch.no_grad()
    def theirs() -> Tensor:
        return plain(images).flatten(1)

    return Side(ours, lambda: [ours()]), Side(theirs, lambda: [theirs()])


def _building(sizes: Sizes) -> tuple[Side, Side]:
    def build() -> nn.Module:
        return p4cnn(channels=sizes.channels)

    def build_escnn() -> Any:
        return _escnn_net(sizes.channels)

    # Their parameters are drawn: only the number of convolutions can be the same.
    def count(net: nn.Module, kind: str) -> list[Tensor]:
        return [torch.tensor(float(sum(type(part).__name__ == kind for part in net.modules())))]

    return (
        Side(build, lambda: count(build(), "Conv")),
        Side(build_escnn, lambda: count(build_escnn(), "R2Conv")),
    )


def _against_plain(
    sizes: Sizes, memory_format: torch.memory_format, device: torch.device
) -> tuple[Side, Side]:
    batch = _digits(sizes, device)
    net = p4cnn(channels=sizes.channels).to(device)
    twin: Any = _plain_net(sizes.channels * peers.SHEETS).to(device)
    twin.to(memory_format=memory_format)
    images = batch.images.contiguous(memory_format=memory_format)

    def logits() -> Tensor:
        return twin(images).view(len(images), -1, peers.SHEETS).amax(-1)

    ours = _ours(net, batch)
    step = _training(twin, logits, batch.labels)
    # Only shapes can be the same: the answers are multiplied by zero.
    return (
        Side(ours.call, lambda: [t * 0 for t in ours.answer()]),
        Side(step, lambda: [logits().detach() * 0]),
    )


def _ours(net: nn.Module, batch: Digits) -> Side:
    signal = Signal(batch.images.flatten(2).transpose(1, 2), Grid(SIDE, SIDE))

    def logits() -> Tensor:
        return net(signal).x[:, 0]

    return Side(_training(net, logits, batch.labels), lambda: [logits().detach()])


def _training(net: nn.Module, logits: Callable[[], Tensor], labels: Tensor) -> Callable[[], Any]:
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)

    def step() -> None:
        adam.zero_grad()
        F.cross_entropy(logits(), labels).backward()
        adam.step()

    return step


def _digits(sizes: Sizes, device: torch.device) -> Digits:
    images = torch.rand(sizes.batch, 1, SIDE, SIDE, device=device)
    return Digits(images, torch.randint(sizes.channels, (sizes.batch,), device=device))


def _escnn_net(channels: int) -> Any:
    """escnn's network: six convolutions with norm and ReLU, pooling after the second, one more, and
    the maximum over the group.
    """
    escnn, kind, layers = peers.escnn(), peers.trivial(), []
    for k in range(1, 7):
        fields = peers.regular(channels)
        convolution, norm = escnn.R2Conv(kind, fields, 3), escnn.InnerBatchNorm(fields)
        layers += [convolution, norm, escnn.ReLU(fields, inplace=True)]
        if k == 2:
            layers.append(escnn.PointwiseMaxPool(fields, 2))
        kind = fields
    last = escnn.R2Conv(kind, peers.regular(10), 4)
    return escnn.SequentialModule(*layers, last, escnn.GroupPooling(peers.regular(10)))


def _plain_net(planes: int) -> nn.Module:
    """The same shapes without the group."""
    layers: list[nn.Module] = []
    before = 1
    for k in range(1, 7):
        convolution, norm = nn.Conv2d(before, planes, 3), nn.BatchNorm2d(planes)
        layers += [convolution, norm, nn.ReLU(inplace=True)]
        if k == 2:
            layers.append(nn.MaxPool2d(2))
        before = planes
    return nn.Sequential(*layers, nn.Conv2d(planes, 10 * peers.SHEETS, 4))

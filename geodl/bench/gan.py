"""The two networks of a DCGAN, forward and backward, against the same out of torch's modules."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from geodl import models
from geodl.bench.harness import Case, Side, leaf, step
from geodl.bench.meter import CPU
from geodl.interop import to_torch
from geodl.signal import Signal


class Sizes(NamedTuple):
    """Images in a step, channels of the feature maps of half the size, those of the layer before
    the score.
    """

    batch: int = 64
    channels: int = 32
    hidden: int = 128


USUAL = Sizes()
PEERS = {"torch, NCHW": torch.contiguous_format, "torch, channels-last": torch.channels_last}


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """The networks of `mnist-gan`: a discriminator of convolutions with stride 2, a generator of
    transposed ones, and in both a window as large as the feature map.
    """
    gan = models.dcgan(channels=sizes.channels, hidden=sizes.hidden).to(device)
    image = leaf(sizes.batch, 1, 28, 28, device=device)
    noise = leaf(sizes.batch, gan.noise_channels, 1, 1, device=device)
    for peer, memory_format in PEERS.items():
        for name, net, x in (
            ("discriminator", gan.discriminator, image),
            ("generator", gan.generator, noise),
        ):
            said = f"DCGAN's {name}, batch {sizes.batch}"
            yield Case(said, peer, *_sides(net, x, memory_format))


def _sides(net: Any, x: Tensor, memory_format: torch.memory_format) -> tuple[Side, Side]:
    twin: Any = to_torch(net)
    twin.to(memory_format=memory_format)
    theirs = x.detach().contiguous(memory_format=memory_format).requires_grad_()

    def ours() -> Tensor:
        return net(Signal.image(x)).to_image()

    def torchs() -> Tensor:
        return twin(theirs)

    upstream = torch.randn_like(ours())
    one = step(ours, [x, *net.parameters()], upstream)
    like = upstream.view_as(torchs())
    other = step(torchs, [theirs, *twin.parameters()], like)

    def their_answer() -> list[Tensor]:
        y, slope = other()[:2]
        return [y.view_as(upstream), slope]

    return Side(one, lambda: one()[:2]), Side(other, their_answer)

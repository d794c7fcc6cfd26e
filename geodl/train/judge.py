"""The judge of generated images: a classifier that was trained on real ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from torch import Generator, Tensor, nn

from geodl.data import ImageData
from geodl.layer import Sequential, evaluated
from geodl.signal import Signal
from geodl.train.examples import Examples, Rows
from geodl.train.parts import Parts

AT_ONCE = 1000  # images of one call


class Seen(NamedTuple):
    """What a judge computes of images: features `[M, F]` and logits of classes `[M, K]`."""

    features: Tensor
    logits: Tensor


@final
class Judge(nn.Module):
    """A classifier of images that also returns the features that its last layer reads.

    Args:
        network: layers in sequence, from images to logits of classes.
        learnt: the images that it was trained on; their mean and standard deviation normalise all
            others.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: Sequential, learnt: Tensor):
        super().__init__()
        *before, last = network
        self.before, self.last = Sequential(*before), Sequential(last)
        deviation, mean = torch.std_mean(learnt)
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def forward(self, images: Tensor) -> Seen:
        """Features and logits of images `[M, C, H, W]` with values in [0, 1]."""
        features, logits = [], []
        with evaluated(self):
            for some in images.split(AT_ONCE):
                read = self.before(Signal.image((some - self.mean) / self.deviation))
                features.append(read.x.flatten(1))
                logits.append(self.last(read).x.flatten(1))
        return Seen(torch.cat(features), torch.cat(logits))


@final
@dataclass(frozen=True, eq=False)
class Judged(Examples):
    """Real images that generated ones are compared with, and the judge, as one batch.

    Args:
        images: `[M, C, H, W]` with values in [0, 1].
        labels: `[M]`.
        others: other real images `[M', C, H, W]`, for the distance of a perfect generator.
        judge: the classifier.
    """

    images: Tensor
    labels: Tensor
    others: Tensor
    judge: Judge

    def to(self, device: torch.device) -> "Judged":
        """These images and the judge on a device."""
        images, labels, others = (x.to(device) for x in (self.images, self.labels, self.others))
        return Judged(images, labels, others, self.judge.to(device))

    def count(self, size: int | None) -> int:
        """One."""
        return 1

    def draw(self, size: int | None, generator: Generator | None) -> Iterator["Judged"]:
        """All of them."""
        yield self


def gan_parts(data: ImageData, judge: Judge) -> Parts:
    """Examples for a GAN: training images with values in [-1, 1], as generators make them, and test
    images to compare generated ones with.

    Args:
        data: real images with values in [0, 1].
        judge: the classifier that compares.
    """
    train = Rows(2 * data.train.images - 1, data.train.labels)
    test = Judged(*data.test, data.val.images, judge)
    return Parts(data.name, train, None, {"": test})

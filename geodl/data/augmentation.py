"""Augmentation: random changes of training images that leave their classes as they are.

An augmentation is a function of images `[M, C, H, W]` and of a generator, which decides all of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Generator, Tensor

from geodl.data.arguments import check_count, describe
from geodl.data.images import turn
from geodl.errors import GeodlError, is_real

Augmentation = Callable[[Tensor, Generator | None], Tensor]


@final
@dataclass(frozen=True)
class Rotations:
    """Each image turned about its centre by an angle of its own, uniform in [0, 360) degrees:
    bilinear, zeros outside, exact for multiples of 90.

    Args:
        step: the angles are multiples of so many degrees, a divisor of 360; 0 for any angle.

    Raises:
        GeodlError: if the step is negative or does not divide 360, or images are not square or no
            floating point numbers `[M, C, H, H]`.

    >>> import torch
    >>> images, chance = torch.rand(5, 1, 8, 8), torch.Generator().manual_seed(0)
    >>> turned = Rotations(step=90)(images, chance)
    >>> any(torch.equal(turned[0, 0], images[0, 0].rot90(k)) for k in range(4))
    True
    """

    step: float = 0.0

    def __post_init__(self):
        asked = f"Rotations(step={self.step!r})"
        # `360 % NaN` is NaN, which differs from 0: NaN is refused here, too.
        if not is_real(self.step) or not (
            self.step == 0 or (self.step > 0 and 360 % self.step == 0)
        ):
            raise GeodlError(asked, do="give a divisor of 360, as 90, or 0 for any angle")

    def __call__(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Turned images, a new tensor of the same shape."""
        _check_images("rotated images", images)
        if images.shape[2] != images.shape[3]:
            raise GeodlError("rotated images", describe(images), "give squares [M, C, H, H]")
        if not len(images):
            return images.clone()
        share = torch.rand(len(images), generator=generator, dtype=torch.float64)
        degrees = 360 * share
        if self.step:
            degrees = self.step * (share * (360 / self.step)).floor()
        turned = turn(images, degrees)
        # At a quarter turn the sine is off by rounding, and bilinear weights by as much from 1
        # and 0: these images are copied instead.
        for quarter in range(4):
            exact = degrees == 90 * quarter
            turned[exact] = images[exact].rot90(quarter, (2, 3))
        return turned

    def __str__(self) -> str:
        if self.step:
            return f"each image turned by a multiple of {self.step:g} degrees, another each epoch"
        return "each image turned by any angle, another each epoch, bilinear"


@final
@dataclass(frozen=True)
class Shifts:
    """Each image moved by up to `most` pixels along each axis, every number of pixels with equal
    probability; zeros move in.

    Args:
        most: the largest shift, in pixels.

    Raises:
        GeodlError: if `most` is no integer from 0, or images are no floating point numbers
            `[M, C, H, W]`.

    >>> import torch
    >>> Shifts(2)(torch.rand(5, 1, 8, 6)).shape
    torch.Size([5, 1, 8, 6])
    """

    most: int = 2

    def __post_init__(self):
        most = check_count(f"Shifts({self.most!r})", self.most, least=0)
        object.__setattr__(self, "most", most)

    def __call__(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Moved images, a new tensor of the same shape."""
        _check_images("shifted images", images)
        count, _, height, width = images.shape
        padded = torch.nn.functional.pad(images, (self.most,) * 4)
        # Where the crop of each padded image begins, by row and column: [2, M].
        begin = torch.randint(2 * self.most + 1, (2, count), generator=generator)
        first_row, first_column = begin.to(images.device)
        rows = first_row[:, None] + torch.arange(height, device=images.device)
        columns = first_column[:, None] + torch.arange(width, device=images.device)
        image = torch.arange(count, device=images.device)
        # Indexing by [M, 1, 1], [M, H, 1], [M, 1, W] around the channels gives [M, H, W, C].
        cropped = padded[image[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        return cropped.permute(0, 3, 1, 2).contiguous()

    def __str__(self) -> str:
        return f"each image moved by up to {self.most} pixels each way, anew each epoch"


@final
@dataclass(frozen=True)
class FlipsAndShifts:
    """Each image mirrored left to right with probability 1/2, then moved as by :class:`Shifts`.

    This is the usual augmentation of CIFAR: a random crop of the image padded by 4 (He et al.,
    "Deep Residual Learning for Image Recognition", 2016, section 4.2).

    Args:
        most: the largest shift, in pixels.

    Raises:
        GeodlError: if `most` is no integer from 0, or images are no floating point numbers
            `[M, C, H, W]`.

    >>> import torch
    >>> FlipsAndShifts(2)(torch.rand(5, 3, 8, 6)).shape
    torch.Size([5, 3, 8, 6])
    """

    most: int = 4

    def __post_init__(self):
        most = check_count(f"FlipsAndShifts({self.most!r})", self.most, least=0)
        object.__setattr__(self, "most", most)

    def __call__(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Mirrored and moved images, a new tensor of the same shape."""
        _check_images("flipped and shifted images", images)
        mirrored = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
        flipped = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        return Shifts(self.most)(flipped, generator)

    def __str__(self) -> str:
        return (
            f"each image mirrored left to right or not and moved by up to {self.most} pixels each "
            "way, anew each epoch"
        )


def _check_images(asked: str, images: Any) -> None:
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point():
        do = "give floating point images [M, C, H, W]"
        raise GeodlError(asked, describe(images), do)

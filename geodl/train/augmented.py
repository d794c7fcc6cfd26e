"""Images that are changed at random each time they are learnt from."""

from collections.abc import Callable, Iterator
from typing import final

import torch
from torch import Generator, Tensor

from geodl.data import Augmentation
from geodl.train.examples import Examples, Rows


@final
class Augmented(Examples):
    """Images and classes; where they are learnt from, each image is changed at random, another way
    each epoch. The generator of the epoch decides, so that an interrupted run sees the same images.

    Args:
        rows: images `[M, C, H, W]` and classes `[M]`.
        augmentation: what is done to images that are learnt from.
        normal: what is done to all images after it. The augmentation comes first: what it moves in
            from outside is the zero of a pixel, not of a normalised one.
    """

    def __init__(self, rows: Rows, augmentation: Augmentation, normal: Callable[[Tensor], Tensor]):
        self.rows, self.augmentation, self.normal = rows, augmentation, normal

    def to(self, device: torch.device) -> "Augmented":
        """These images on a device."""
        return Augmented(self.rows.to(device), self.augmentation, self.normal)

    def count(self, size: int | None) -> int:
        """The last batch may have fewer images."""
        return self.rows.count(size)

    def draw(
        self, size: int | None, generator: Generator | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Each image once, changed; as it is where nothing is learnt."""
        for images, classes in self.rows.draw(size, generator):
            if generator is not None:
                images = self.augmentation(images, generator)
            yield self.normal(images), classes

    def some(self, count: int) -> "Augmented":
        """Images evenly spread over all."""
        return Augmented(self.rows.some(count), self.augmentation, self.normal)

"""Scenes of digits as training and test examples, generated batch by batch."""

from collections.abc import Iterator
from typing import final

import torch
from torch import Generator

from geodl.data import ImageData, Scenes, Split, scenes
from geodl.errors import GeodlError
from geodl.train.examples import Examples
from geodl.train.parts import Parts

EVALUATED = 100  # scenes in a batch of validation or test scenes


@final
class DrawnScenes(Examples):
    """Generated scenes of digits. Training scenes are new in each epoch, by the generator of the
    epoch; validation and test scenes are the same each time.

    Args:
        digits: what they are drawn from.
        number: how many scenes an epoch, or an evaluation, has.
        device: where the scenes are put.
    """

    def __init__(self, digits: Split, number: int, device: torch.device | str = "cpu"):
        self.digits, self.number, self.device = digits, number, device

    def to(self, device: torch.device) -> "DrawnScenes":
        """The same, with scenes on another device; the digits stay on theirs."""
        return DrawnScenes(self.digits, self.number, device)

    def count(self, size: int | None) -> int:
        """The last batch may have fewer scenes."""
        return -(-self.number // (size or EVALUATED))

    def draw(self, size: int | None, generator: Generator | None) -> Iterator[Scenes]:
        """Each scene once."""
        chance = generator or torch.Generator().manual_seed(0)
        batch = size or EVALUATED
        for begin in range(0, self.number, batch):
            count = min(batch, self.number - begin)
            yield scenes(self.digits, count, generator=chance).to(self.device)

    def some(self, count: int) -> "DrawnScenes":
        """As many scenes, of `count` of the digits.

        Raises:
            GeodlError: if there are not so many digits.
        """
        known = len(self.digits.labels)
        if count > known:
            asked = f"to learn from scenes of {count} digits"
            raise GeodlError(asked, f"{known}", f"give trainer.limit_examples of at most {known}")
        places = torch.arange(count) * known // count
        fewer = Split(self.digits.images[places], self.digits.labels[places])
        return DrawnScenes(fewer, self.number, self.device)


def scene_parts(data: ImageData, sizes: tuple[int, int, int]) -> Parts:
    """Training, validation and test scenes, of the training, validation and test digits.

    Args:
        data: the digits.
        sizes: the number of scenes of an epoch, of validation scenes and of test scenes.
    """
    digits = (data.train, data.val, data.test)
    train, val, test = map(DrawnScenes, digits, sizes)
    return Parts(f"scenes of {data.name} (generated)", train, val, {"": test})

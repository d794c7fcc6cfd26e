"""Scenes to detect objects in, drawn as they are asked for."""

from collections.abc import Iterator
from typing import final

import torch
from torch import Generator

from geodl.data import ImageData, Scenes, Split, scenes
from geodl.errors import GeodlError
from geodl.train.examples import Examples
from geodl.train.parts import Parts

EVALUATED = 100  # scenes at once, where nothing is learnt from them


@final
class DrawnScenes(Examples):
    """Scenes of digits, anew each epoch where they are learnt from, by the generator of the epoch;
    the same each time where nothing is learnt.

    Args:
        digits: what they are drawn from.
        number: how many scenes an epoch, or an evaluation, has.
        device: where they are put.
    """

    def __init__(self, digits: Split, number: int, device: torch.device | str = "cpu"):
        self.digits, self.number, self.device = digits, number, device

    def to(self, device: torch.device) -> "DrawnScenes":
        """These scenes on a device; the digits stay where scenes are drawn."""
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
        """As many scenes, of so many of the digits."""
        known = len(self.digits.labels)
        if count > known:
            asked = f"to learn from scenes of {count} digits"
            raise GeodlError(asked, f"{known}", f"give trainer.limit_examples of at most {known}")
        places = torch.arange(count) * known // count
        fewer = Split(self.digits.images[places], self.digits.labels[places])
        return DrawnScenes(fewer, self.number, self.device)


def scene_parts(data: ImageData, sizes: tuple[int, int, int]) -> Parts:
    """Scenes of the digits of each part: no digit of a test scene was ever learnt from.

    Args:
        data: the digits.
        sizes: how many scenes an epoch has, how many there are to validate and to report on.
    """
    digits = (data.train, data.val, data.test)
    train, val, test = map(DrawnScenes, digits, sizes)
    return Parts(f"scenes of {data.name} (generated)", train, val, {"": test})

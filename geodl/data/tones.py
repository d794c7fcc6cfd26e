"""Generated waves: tones in noise."""

import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple, final

import torch
from torch import Tensor

from geodl.data.arguments import check_count, check_seed

PERIODS = (8, 11, 16, 23, 32, 45, 64, 91)  # samples of one oscillation: half an octave apart
SIZES = (1000, 250, 500)


class Waves(NamedTuple):
    """Waves `[M, T, 1]`, float32, and their labels `[M]`, int64."""

    values: Tensor
    labels: Tensor

    def to(self, device: torch.device | str) -> "Waves":
        """These waves and labels on a device."""
        return Waves(self.values.to(device), self.labels.to(device))


@final
@dataclass(frozen=True, eq=False)
class WaveData:
    """Waves and their classes in three parts.

    Args:
        name: the data set, as it is printed beside a number.
        train: the part to learn from; `val` is the part to choose by, and `test` the part to
            report.
        num_classes: how many classes there are.
    """

    name: str
    train: Waves = field(repr=False)
    val: Waves = field(repr=False)
    test: Waves = field(repr=False)
    num_classes: int

    def to(self, device: torch.device | str) -> "WaveData":
        """This data set with all its tensors on a device."""
        train, val, test = (part.to(device) for part in (self.train, self.val, self.test))
        return replace(self, train=train, val=val, test=test)


def tones(length: int = 4000, *, loudness: float = 0.5, seed: int = 0) -> WaveData:
    """Tones in noise (generated): waves `[M, T, 1]`, 1000 to learn from, 250 to validate, 500 to
    test. The class is which of eight tones sounds in it.

    A tone of amplitude `loudness` sounds for a quarter of the wave, from a random place on and with
    a random phase, in white noise of deviation 1. Its periods are 8 to 91 samples, half an octave
    apart.

    Args:
        length: T, at least 100 samples.
        loudness: amplitude of the tones.
        seed: all randomness follows from it.

    Raises:
        GeodlError: if the length is below 100, or the seed none.

    >>> tones(400).test.values.shape
    torch.Size([500, 400, 1])
    """
    length = check_count(f"tones({length!r})", length, least=100)
    chance = torch.Generator().manual_seed(check_seed(seed))
    count = sum(SIZES)
    labels = torch.randint(len(PERIODS), (count,), generator=chance)
    period = torch.tensor(PERIODS, dtype=torch.float32)[labels]
    begin = torch.randint(length - length // 4, (count,), generator=chance)
    phase = torch.rand(count, generator=chance)
    time = torch.arange(length)
    sounds = (time >= begin[:, None]) & (time < begin[:, None] + length // 4)
    turns = time / period[:, None] + phase[:, None]
    noise = torch.randn(count, length, generator=chance)
    waves = noise + loudness * sounds * torch.sin(2 * math.pi * turns)
    parts = zip(waves[:, :, None].split(SIZES), labels.split(SIZES), strict=True)
    train, val, test = (Waves(values, classes) for values, classes in parts)
    return WaveData("tones in noise (generated)", train, val, test, num_classes=len(PERIODS))

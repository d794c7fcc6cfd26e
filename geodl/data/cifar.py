"""Small photographs in colour."""

import io
import zipfile

import numpy as np
import torch
from torch import Tensor

from geodl.data.base import ImageData, Split
from geodl.data.fetch import get
from geodl.errors import GeodlError

CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
NAME = "CIFAR-10, 10k JPEG"
EACH = 1000  # images of each class, in "train" and in "test" of the archive
LEARNT = 900  # training images of each class; the other 100 of "train" are for validation


def cifar10() -> ImageData:
    """CIFAR-10, 10k JPEG: 32x32 photographs `[M, 3, 32, 32]` of ten classes, 9000 train, 1000
    validation (the last 100 of each class), 10000 test.

    A fifth of the training images of CIFAR-10 and all of its test images, each a JPEG copy: other
    pixels than the official ones, so that errors are not those of published experiments.

    Raises:
        GeodlError: if the file is not found, differs from its card, or pillow is not installed.

    Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.

    >>> import geodl as g
    >>> g.data.cifar10().train.images.shape  # doctest: +SKIP
    torch.Size([9000, 3, 32, 32])
    """
    (path,) = get("cifar10")
    with zipfile.ZipFile(path) as archive:
        learnt = _images(archive, "train")
        test = _images(archive, "test")
    labels = torch.arange(len(CLASSES)).repeat_interleave(EACH)
    # Images are sorted by class; this is the number of each within its class.
    number = torch.arange(EACH).repeat(len(CLASSES))
    train, val = number < LEARNT, number >= LEARNT
    return ImageData(
        NAME,
        Split(learnt[train], labels[train]),
        Split(learnt[val], labels[val]),
        Split(test, labels),
        num_classes=len(CLASSES),
    )


def _images(archive: zipfile.ZipFile, split: str) -> Tensor:
    """All images of "train" or "test", sorted by class: `[10000, 3, 32, 32]` in [0, 1]."""
    try:
        from PIL import Image
    except ImportError as error:
        raise GeodlError(NAME, "pillow is not installed", 'pip install "geodl[data]"') from error
    pixels = np.empty((len(CLASSES) * EACH, 32, 32, 3), np.uint8)
    for number, name in enumerate(CLASSES):
        for k in range(EACH):
            file = io.BytesIO(archive.read(f"{split}/{name}/{k:04}.jpg"))
            with Image.open(file) as opened:
                pixels[number * EACH + k] = np.asarray(opened.convert("RGB"))
    # Channels first, as torch has them.
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    return images.float().div_(255).contiguous()

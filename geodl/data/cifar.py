"""Small photographs in colour."""

import io
import tarfile
import zipfile

import numpy as np
import torch
from torch import Tensor

from geodl.data.base import ImageData, Split
from geodl.data.cards import card, root
from geodl.data.fetch import get
from geodl.errors import GeodlError

CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
NAME = "CIFAR-10, 10k JPEG"
EACH = 1000  # images of each class, in "train" and in "test" of the archive
LEARNT = 900  # training images of each class; the other 100 of "train" are for validation


OFFICIAL = "cifar10_official"
FOLDER = "cifar-10-batches-bin"  # in the official archive
BATCHES = tuple(f"data_batch_{k}.bin" for k in range(1, 6))


def cifar10(*, official: bool | None = None) -> ImageData:
    """CIFAR-10: 32x32 photographs `[M, 3, 32, 32]` of ten classes. The official files where they
    are on this machine, else 20,000 of them as JPEG copies; its `name` says which.

    "CIFAR-10, 10k JPEG" has 9000 train, 1000 validation (the last 100 of each class), 10000 test: a
    fifth of the training images and all test images, with other pixels than the official ones, so
    that errors are not those of published experiments. "CIFAR-10" is :func:`cifar10_official`.

    Args:
        official: whether to take the official files; None takes them where `root()` has them.

    Raises:
        GeodlError: if the file is not found, or differs from its card: of official files that are
            there in part, the JPEG copies are not taken silently; if pillow is not installed.

    Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.

    >>> import geodl as g
    >>> g.data.cifar10(official=False).train.images.shape  # doctest: +SKIP
    torch.Size([9000, 3, 32, 32])
    """
    if official not in (True, False, None):
        raise GeodlError(f"cifar10(official={official!r})", do="give True, False or None")
    if official is None:
        (file,) = card(OFFICIAL).files
        official = (root() / OFFICIAL / file.name).exists()
    if official:
        return cifar10_official()
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


def cifar10_official() -> ImageData:
    """CIFAR-10 from its official files: 45000 train, 5000 validation (the last tenth of the
    training images), 10000 test. 170 MB are downloaded where they are missing.

    Raises:
        GeodlError: if the file is not found, or differs from its card.

    Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.

    >>> import geodl as g
    >>> g.data.cifar10_official().train.images.shape  # doctest: +SKIP
    torch.Size([45000, 3, 32, 32])
    """
    (path,) = get(OFFICIAL)
    with tarfile.open(path) as archive:
        batches = [_records(archive, name) for name in BATCHES]
        test = _records(archive, "test_batch.bin")
    images = torch.cat([batch.images for batch in batches])
    labels = torch.cat([batch.labels for batch in batches])
    learnt = len(labels) - len(labels) // 10
    train = Split(images[:learnt], labels[:learnt])
    val = Split(images[learnt:], labels[learnt:])
    return ImageData("CIFAR-10", train, val, test, num_classes=len(CLASSES))


def _records(archive: tarfile.TarFile, name: str) -> Split:
    """The images and labels of one file: of each image a byte for its label, then its pixels, red,
    green and blue, row by row.
    """
    member = archive.extractfile(f"{FOLDER}/{name}")
    assert member is not None
    rows = np.frombuffer(member.read(), np.uint8).reshape(-1, 1 + 3 * 32 * 32)
    images = torch.from_numpy(rows[:, 1:].reshape(-1, 3, 32, 32).copy())
    labels = torch.from_numpy(rows[:, 0].copy()).long()
    return Split(images.float().div_(255), labels)


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

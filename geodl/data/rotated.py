"""Rotated MNIST: the official files where the user has them, else made from MNIST and kept."""

import hashlib
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from geodl.data.arguments import check_seed
from geodl.data.base import ImageData
from geodl.data.cards import ROOM, root
from geodl.data.images import cut, mnist_bytes, pixels, turn
from geodl.errors import GeodlError
from geodl.files import in_words, new_file

SIZES = (10_000, 2_000, 50_000)
OFFICIAL = (
    "mnist_all_rotation_normalized_float_train_valid.amat",
    "mnist_all_rotation_normalized_float_test.amat",
)


def rotated_mnist(*, seed: int = 0) -> ImageData:
    """Rotated MNIST: 10000 train, 2000 validation and 50000 test digits, each turned by any angle.

    The official files are read if they are in `root()/rotated_mnist` (`name` is then "rotated-mnist
    (official)"). Otherwise the data set is made from MNIST by the recipe of Larochelle et al.
    (2007), and is called "rotated-mnist (made from MNIST)": 62000 of the 70000 images, none twice,
    angles uniform in [0, 360), bilinear. It is made once for each seed and kept; the same seed
    gives the same bytes.

    Args:
        seed: which images, in which order, by which angles. The official files have none, so only 0
            goes with them.

    Raises:
        GeodlError: if only one official file is there, or one does not hold what it should; if a
            seed is given for the official files; if MNIST cannot be had.

    Source: Larochelle, Erhan, Courville, Bergstra, Bengio, "An Empirical Evaluation of Deep
    Architectures on Problems with Many Factors of Variation", 2007.

    >>> import geodl as g
    >>> g.data.rotated_mnist().name  # doctest: +SKIP
    'rotated-mnist (made from MNIST)'
    """
    seed = check_seed(seed)
    folder = root() / "rotated_mnist"
    present = [name for name in OFFICIAL if (folder / name).exists()]
    if not present:
        arrays = made(folder / f"made-from-mnist-seed-{seed}.npz", seed)
        return cut(
            "rotated-mnist (made from MNIST)", pixels(arrays["images"]), arrays["labels"], SIZES
        )
    if len(present) == 1:
        missing = next(name for name in OFFICIAL if name not in present)
        found = f"{present[0]} without {missing}"
        raise GeodlError("the official rotated MNIST", found, f"put both or none in {folder}")
    if seed != 0:
        found = "the official files, which have no seed"
        do = f"leave the seed out, or move the official files out of {folder}"
        raise GeodlError(f"rotated_mnist(seed={seed})", found, do)
    return official(folder, SIZES)


def make(
    images: np.ndarray, labels: np.ndarray, seed: int, sizes: tuple[int, int, int]
) -> dict[str, np.ndarray]:
    """The recipe: `sum(sizes)` of the images, none twice, in random order, each turned by an angle
    of its own.

    Args:
        images: `[P, H, W]` uint8, to draw from.
        labels: `[P]` uint8, their classes.
        seed: of the generator.
        sizes: numbers of training, validation and test images.

    Returns:
        images `[M, H, W]` uint8 and labels `[M]` uint8, with the source `[M]` of each and its angle
        in degrees `[M]`.
    """
    random = np.random.RandomState(seed)  # the one generator whose stream numpy never changes
    source = random.permutation(len(images))[: sum(sizes)]
    degrees = random.uniform(0.0, 360.0, len(source))
    turned = np.empty((len(source), *images.shape[1:]), np.uint8)
    for start in range(0, len(source), 1000):
        part = slice(start, start + 1000)
        # In float64, then rounded to bytes: the last bits, in which processors differ, do not reach
        # the result.
        upright = torch.from_numpy(images[source[part]]).double().unsqueeze(1)
        exact = turn(upright, torch.from_numpy(degrees[part])).squeeze(1)
        turned[part] = exact.round().byte().numpy()
    return {
        "images": turned,
        "labels": labels[source],
        "source": source.astype(np.int64),
        "degrees": degrees,
    }


def digest(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 of the bytes of the arrays, one after the other in the order of their names."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        total.update(np.ascontiguousarray(arrays[name]).data)
    return total.hexdigest()


def made(path: Path, seed: int) -> dict[str, np.ndarray]:
    """The arrays kept at `path`, made now if there are none or if they are not what their SHA-256
    says.
    """
    if path.exists():
        try:
            return _kept(path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            warnings.warn(f"{path} is damaged ({error}); it is made again from MNIST", stacklevel=3)
    arrays = make(*mnist_bytes(), seed, SIZES)
    kept: dict[str, Any] = {"sha256": digest(arrays), **arrays}
    with in_words(f"to keep {path}", ROOM):
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_file(path) as unfinished, unfinished.open("wb") as opened:
            np.savez(opened, **kept)
    return arrays


def _kept(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        arrays = {name: file[name] for name in ("images", "labels", "source", "degrees")}
        recorded = str(file["sha256"])
    if digest(arrays) != recorded or arrays["images"].shape != (sum(SIZES), 28, 28):
        raise ValueError(f"its SHA-256 is {digest(arrays)}, not {recorded}")
    return arrays


def official(folder: Path, sizes: tuple[int, int, int]) -> ImageData:
    """The official text files: each row is the 784 pixels of an image, row by row, and its
    label.
    """
    train, val, test = sizes
    rows = np.concatenate(
        [_rows(folder / OFFICIAL[0], train + val), _rows(folder / OFFICIAL[1], test)]
    )
    images = torch.from_numpy(rows[:, :784]).reshape(len(rows), 1, 28, 28)
    return cut("rotated-mnist (official)", images, rows[:, 784], sizes)


def _rows(path: Path, count: int) -> np.ndarray:
    asked = f"{count} rows of 784 pixels and a label in {path}"
    do = "unpack the official archive again"
    try:
        rows = np.loadtxt(path, dtype=np.float32, ndmin=2)
    except (OSError, ValueError) as error:
        raise GeodlError(asked, str(error), do) from error
    if rows.shape != (count, 785):
        raise GeodlError(asked, f"{rows.shape[0]} rows of {rows.shape[1]} numbers", do)
    if not np.isfinite(rows).all() or not np.isin(rows[:, -1], np.arange(10)).all():
        raise GeodlError(asked, "a pixel that is not finite, or a label that is not a digit", do)
    return rows

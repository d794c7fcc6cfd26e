"""Images of digits, upright, and the rotation that turns them."""

import gzip
import math

import numpy as np
import torch
from torch import Tensor

from geodl.data.arguments import check_seed, describe
from geodl.data.base import ImageData, Split
from geodl.data.fetch import get
from geodl.errors import GeodlError


def mnist() -> ImageData:
    """MNIST: 28x28 digits, 50000 train, 10000 validation (the last of the 60000 training images),
    10000 test.

    Raises:
        GeodlError: if a file is missing everywhere, is truncated, or has another SHA-256 than the
            card says.

    Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document
    recognition", 1998.

    >>> import geodl as g
    >>> g.data.mnist().train.images.shape  # doctest: +SKIP
    torch.Size([50000, 1, 28, 28])
    """
    images, labels = mnist_bytes()
    return cut("mnist", pixels(images), labels, (50_000, 10_000, 10_000))


def digits(*, seed: int = 0) -> ImageData:
    """Digits: 1797 images of 8x8, embedded in scikit-learn: 997 train, 300 validation, 500 test,
    each digit in proportion.

    All are upright; `rotate` turns them.

    Args:
        seed: which images go to which part.

    Raises:
        GeodlError: if scikit-learn is not installed.

    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998.

    >>> import geodl as g
    >>> data = g.data.digits()
    >>> data.train.images.shape, data.test.labels.shape
    (torch.Size([997, 1, 8, 8]), torch.Size([500]))
    """
    seed = check_seed(seed)
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise GeodlError(
            "the digits", "scikit-learn is not installed", 'pip install "geodl[data]"'
        ) from error
    images, labels = load_digits(return_X_y=True)
    rest, test = train_test_split(
        np.arange(len(labels)), test_size=500, stratify=labels, random_state=seed
    )
    train, val = train_test_split(rest, test_size=300, stratify=labels[rest], random_state=seed)
    order = np.concatenate([train, val, test])
    upright = torch.from_numpy(images[order] / 16).float().reshape(len(order), 1, 8, 8)
    return cut("digits", upright, labels[order], (997, 300, 500))


def rotate(images: Tensor, degrees: float) -> Tensor:
    """Images turned counter-clockwise about their centre: exact for multiples of 90, else bilinear
    with zeros outside.

    Args:
        images: `[M, C, H, H]`, floating point.
        degrees: the angle.

    Raises:
        GeodlError: if the images are not square, do not have four axes or are not floating point;
            if an angle is not finite.

    >>> import geodl as g, torch
    >>> g.data.rotate(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), 90)
    tensor([[[[2., 4.],
              [1., 3.]]]])
    """
    is_square = isinstance(images, Tensor) and images.ndim == 4
    is_square = is_square and images.shape[2] == images.shape[3]
    if not is_square or not images.is_floating_point():
        do = "give floating point images of shape [M, C, H, H]"
        raise GeodlError("rotated images", describe(images), do)
    if not isinstance(degrees, int | float) or not math.isfinite(degrees):
        raise GeodlError(f"images rotated by {degrees!r} degrees", do="give a finite number")
    turns, rest = divmod(degrees, 90)
    if rest == 0:
        return torch.rot90(images, int(turns) % 4, (2, 3))
    angles = torch.full((len(images),), float(degrees), dtype=torch.float64)
    return turn(images, angles)


def turn(images: Tensor, degrees: Tensor) -> Tensor:
    """Each of M images turned counter-clockwise by its own of M angles: bilinear, zeros outside."""
    # In single precision at least: bfloat16 has no 315 degrees, 316 come next to 314.
    wide = torch.promote_types(images.dtype, torch.float32)
    degrees = degrees.to(images.device, wide)
    cos, sin = degrees.deg2rad().cos(), degrees.deg2rad().sin()
    zero = torch.zeros_like(cos)
    # Rows point down, so the source of the pixel at (x, y) is (x cos - y sin, x sin + y cos).
    theta = torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).reshape(len(degrees), 2, 3)
    grid = torch.nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    turned = torch.nn.functional.grid_sample(
        images.to(wide), grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return turned.to(images.dtype)


def mnist_bytes() -> tuple[np.ndarray, np.ndarray]:
    """All 70000 images `[70000, 28, 28]` and labels `[70000]`, uint8, training images first."""
    parts = {path.name: gzip.decompress(path.read_bytes()) for path in get("mnist")}
    images = [
        np.frombuffer(parts[f"{part}-images-idx3-ubyte.gz"], np.uint8, offset=16)
        for part in ("train", "t10k")
    ]
    labels = [
        np.frombuffer(parts[f"{part}-labels-idx1-ubyte.gz"], np.uint8, offset=8)
        for part in ("train", "t10k")
    ]
    return np.concatenate(images).reshape(70_000, 28, 28), np.concatenate(labels)


def pixels(images: np.ndarray) -> Tensor:
    """Bytes `[M, H, W]` as float32 `[M, 1, H, W]` in [0, 1]."""
    return torch.from_numpy(images).float().div_(255).unsqueeze(1)


def cut(name: str, images: Tensor, labels: np.ndarray, sizes: tuple[int, int, int]) -> ImageData:
    """Images and labels of the ten digits cut, in order, into parts of these sizes."""
    classes = torch.from_numpy(labels).long()
    train, val, test = map(Split, images.split(sizes), classes.split(sizes))
    return ImageData(name, train, val, test, num_classes=10)

"""Images of one's own: a folder with one folder for each class."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geodl.data.arguments import check_count, check_seed
from geodl.data.base import ImageData, Split
from geodl.errors import GeodlError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


def image_folder(
    folder: str | Path, *, size: tuple[int, int] | None = None, gray: bool = False, seed: int = 0
) -> ImageData:
    """Images from files `folder/CLASS/NAME.png` (jpg, ...): a tenth of each class for validation, a
    tenth to test, drawn at random by seed, the others to learn from. Classes are numbered in
    alphabetical order.

    Args:
        folder: holds a folder for each class.
        size: height and width that each image is scaled to, bilinear; None where all have one.
        gray: whether to make one channel of three.
        seed: which images go to which part.

    Raises:
        GeodlError: if there is no such folder, or less than two classes; if a class has less than
            three images; if a file is no image that can be read; if images differ in size and none
            is asked for; if pillow is not installed. The file is named.

    >>> image_folder("nowhere")
    Traceback (most recent call last):
    geodl.errors.GeodlError: images of nowhere: found no such folder; give one with a folder ...
    """
    home = Path(folder).expanduser()
    asked = f"images of {folder}"
    if size is not None:
        size = _sides(asked, size)
    chance = torch.Generator().manual_seed(check_seed(seed))
    parts: list[list[tuple[Path, int]]] = [[], [], []]
    classes = _classes(asked, home)
    for number, files in enumerate(classes):
        order = torch.randperm(len(files), generator=chance).tolist()
        share = max(1, len(files) // 10)
        for rank, place in enumerate(order):
            # The first tenth is tested on, the second validated on.
            part = max(0, 2 - rank // share)
            parts[part].append((files[place], number))
    wanted = size
    splits = []
    for part in parts:
        images = []
        for path, _ in part:
            image = _read(path, size, gray)
            wanted = wanted or (image.shape[1], image.shape[2])
            _check_size(path, image, wanted)
            images.append(image)
        splits.append(Split(torch.stack(images), torch.tensor([number for _, number in part])))
    train, val, test = splits
    return ImageData(home.name, train, val, test, num_classes=len(classes))


def _sides(asked: str, size: Any) -> tuple[int, int]:
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise GeodlError(f"{asked} of size={size!r}", do="give height and width, as (32, 32)")
    height, width = (check_count(f"{asked} of size={size!r}", side) for side in size)
    return height, width


def _classes(asked: str, home: Path) -> list[list[Path]]:
    """The files of each class, in alphabetical order."""
    do = "give one with a folder of images for each class"
    if not home.is_dir():
        raise GeodlError(asked, "no such folder", do)
    folders = sorted(path for path in home.iterdir() if path.is_dir())
    if len(folders) < 2:
        raise GeodlError(asked, f"{len(folders)} folders in it", do)
    classes = []
    for folder in folders:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
        if len(files) < 3:
            found = f"{len(files)} images in {folder.name}"
            raise GeodlError(asked, found, "give three of each class at least")
        classes.append(files)
    return classes


def _read(path: Path, size: tuple[int, int] | None, gray: bool) -> Tensor:
    """An image `[C, H, W]` in [0, 1]."""
    try:
        from PIL import Image
    except ImportError as error:
        do = 'pip install "geodl[data]"'
        raise GeodlError(f"the image {path}", "pillow is not installed", do) from error
    mode = "L" if gray else "RGB"
    try:
        with Image.open(path) as opened:
            image = opened.convert(mode)
            if size is not None:
                image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            pixels = np.array(image, dtype=np.float32) / 255
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        found = f"{type(error).__name__}: {error}"
        raise GeodlError(f"the image {path}", found, "mend or remove the file") from error
    values = torch.from_numpy(pixels)
    if gray:
        return values[None]
    return values.movedim(-1, 0).contiguous()


def _check_size(path: Path, image: Tensor, wanted: tuple[int, int]) -> None:
    if tuple(image.shape[1:]) != wanted:
        height, width = image.shape[1:]
        found = f"{height} x {width} pixels, where others have {wanted[0]} x {wanted[1]}"
        raise GeodlError(f"the image {path}", found, "scale all of them: size=(height, width)")

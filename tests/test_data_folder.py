"""Images of one's own: read in their order, cut by class, refused by the name of the file."""

import numpy as np
import pytest
import torch
from PIL import Image

from geodl import data
from geodl.errors import GeodlError


@pytest.fixture
def folder(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for k in range(10):
            shade = 20 * k + (name == "dog")
            Image.fromarray(np.full((6, 4, 3), shade, np.uint8)).save(tmp_path / name / f"{k}.png")
    (tmp_path / "notes.txt").write_text("no class")
    return tmp_path


def test_a_folder_of_classes(folder):
    loaded = data.image_folder(folder)
    parts = loaded.train, loaded.val, loaded.test
    assert [len(part.labels) for part in parts] == [16, 2, 2] and loaded.num_classes == 2
    assert loaded.train.images.shape == (16, 3, 6, 4)
    shades = torch.cat([part.images[:, 0, 0, 0] for part in parts]).mul(255).round()
    labels = torch.cat([part.labels for part in parts])
    assert torch.equal(shades.long() % 20, labels) and len(shades.unique()) == 20
    again, other = data.image_folder(folder), data.image_folder(folder, seed=1)
    assert torch.equal(again.test.images, loaded.test.images)
    assert not torch.equal(other.train.images, loaded.train.images)
    small = data.image_folder(folder, size=(2, 3), gray=True)
    assert small.test.images.shape == (2, 1, 2, 3)


def no_image(folder):
    (folder / "cat" / "broken.png").write_bytes(b"\x89PNG and no more")


def cut_short(folder):
    path = folder / "dog" / "noise.png"
    noise = np.random.RandomState(0).randint(0, 256, (6, 4, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:60])


def another_size(folder):
    Image.fromarray(np.zeros((6, 5, 3), np.uint8)).save(folder / "dog" / "wide.png")


def too_few(folder):
    (folder / "bird").mkdir()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (no_image, "broken.png: found UnidentifiedImageError.*mend or remove the file"),
        (cut_short, "noise.png: found .*mend or remove the file"),
        (another_size, r"6 x [45] pixels, where others have 6 x [45].*size=\(height, width\)"),
        (too_few, "0 images in bird; give three of each class"),
    ],
)
def test_what_cannot_be_read_is_named(folder, fault, words):
    fault(folder)
    with pytest.raises(GeodlError, match=words):
        data.image_folder(folder)


def test_what_is_no_folder_of_classes_is_refused(folder, tmp_path):
    with pytest.raises(GeodlError, match="0 folders in it"):
        data.image_folder(folder / "cat")
    with pytest.raises(GeodlError, match="no such folder"):
        data.image_folder(tmp_path / "nowhere")
    with pytest.raises(GeodlError, match="give height and width"):
        data.image_folder(folder, size=32)  # pyright: ignore[reportArgumentType]

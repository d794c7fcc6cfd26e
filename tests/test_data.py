"""The loaders: the facts of each data set, and rotated MNIST made the same way every time."""

import io
import pickle
import re
import tarfile

import numpy as np
import pytest
import torch

from geodl import data
from geodl.data import cifar, images, rotated
from geodl.errors import GeodlError

DIGITS = (
    [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
)
SMALL = (20, 10, 30)


@pytest.fixture
def upright() -> tuple[np.ndarray, np.ndarray]:
    """A pool of 70 random images and labels, as bytes."""
    random = np.random.RandomState(1)
    return random.randint(0, 256, (70, 28, 28)).astype(np.uint8), random.randint(0, 10, 70).astype(
        np.uint8
    )


FACTS = {
    "cora": (2708, 10556, 1433, 49216, (140, 500, 1000), [351, 217, 418, 818, 426, 298, 180]),
    "citeseer": (3327, 9104, 3703, 105165, (120, 500, 1000), [264, 590, 668, 701, 596, 508]),
}


@pytest.mark.parametrize("name", FACTS)
def test_planetoid_facts(data_root, name):
    nodes, edges, channels, entries, sizes, per_class = FACTS[name]
    loaded = getattr(data, name)(normalize=False)
    graph = loaded.signal.domain
    assert loaded.name == name and loaded.num_classes == len(per_class)
    assert loaded.signal.x.shape == (1, nodes, channels) and loaded.signal.x.unique().tolist() == [
        0,
        1,
    ]
    assert int(loaded.signal.x.count_nonzero()) == entries
    assert graph.num_nodes == nodes and graph.edge_index.shape == (2, edges)
    assert (graph.edge_index[0] != graph.edge_index[1]).all()
    assert set(map(tuple, graph.edge_index.T.tolist())) == set(
        map(tuple, graph.edge_index.flip(0).T.tolist())
    )
    assert loaded.labels.bincount().tolist() == per_class
    masks = loaded.train, loaded.val, loaded.test
    assert (
        tuple(int(mask.sum()) for mask in masks) == sizes
        and int(sum(mask.int() for mask in masks).max()) == 1
    )
    assert loaded.labels[loaded.train].bincount().tolist() == [20] * loaded.num_classes


def test_normalized_rows_sum_to_one_and_empty_rows_stay(data_root):
    rows = data.citeseer().signal.x[0].sum(1)
    assert ((rows - 1).abs() < 1e-5).sum() == 3327 - 15 and (rows == 0).sum() == 15


@pytest.mark.parametrize("normalize", [True, False])
def test_sparse_features_are_the_dense_ones(data_root, normalize):
    sparse, dense = (
        data.cora(normalize=normalize, sparse=True).signal.x,
        data.cora(normalize=normalize).signal.x,
    )
    assert sparse.layout == torch.sparse_csr and torch.equal(sparse.to_dense(), dense[0])


def test_a_file_is_verified_before_it_is_parsed(data_root, tmp_path, monkeypatch):
    """A pickle that would run code when it is opened is refused unopened."""
    monkeypatch.setenv("GEODL_DATA", str(tmp_path))
    data.get("cora")
    trap = tmp_path / "trap"
    pickled = f"cos\nmkdir\n(V{trap}\ntR.".encode()
    (tmp_path / "cora" / "ind.cora.graph").write_bytes(pickled)
    with pytest.raises(GeodlError, match="ind.cora.graph with SHA-256"):
        data.cora()
    assert not trap.exists()
    pickle.loads(pickled)
    assert trap.exists(), "the trap is no trap"


def test_mnist_facts(data_root):
    loaded = data.mnist()
    parts = loaded.train, loaded.val, loaded.test
    assert [part.images.shape for part in parts] == [
        (50000, 1, 28, 28),
        (10000, 1, 28, 28),
        (10000, 1, 28, 28),
    ]
    assert all(
        part.images.dtype == torch.float32 and part.labels.dtype == torch.int64 for part in parts
    )
    assert torch.cat([loaded.train.labels, loaded.val.labels]).bincount().tolist() == DIGITS[0]
    assert loaded.test.labels.bincount().tolist() == DIGITS[1]
    known = torch.cat([loaded.train.images, loaded.val.images]).double()
    assert known.min() == 0 and known.max() == 1
    assert abs(known.mean() - 0.13066) < 1e-5 and abs(known.std() - 0.30811) < 1e-5


def test_cifar_facts(data_root):
    loaded = data.cifar10(official=False)
    assert loaded.name == "CIFAR-10, 10k JPEG"
    for part, count in ((loaded.train, 900), (loaded.val, 100), (loaded.test, 1000)):
        assert part.images.shape == (10 * count, 3, 32, 32)
        assert part.images.dtype == torch.float32
        assert part.labels.bincount().tolist() == [count] * 10
    # The means of red, green and blue of the official training images.
    means = loaded.train.images.mean((0, 2, 3))
    assert torch.allclose(means, torch.tensor([0.4914, 0.4822, 0.4465]), atol=0.01)


def test_the_official_cifar_is_taken_where_it_is(tmp_path, monkeypatch):
    random = np.random.RandomState(0)
    records = random.randint(0, 10, (6, 4, 3073)).astype(np.uint8)
    path = tmp_path / "cifar10_official" / "cifar-10-binary.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as archive:
        for name, batch in zip((*cifar.BATCHES, "test_batch.bin"), records, strict=True):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = batch.size
            archive.addfile(member, io.BytesIO(batch.tobytes()))
    monkeypatch.setattr(cifar, "root", lambda: tmp_path)
    monkeypatch.setattr(cifar, "get", lambda name: (path,))
    loaded = data.cifar10()
    assert loaded.name == "CIFAR-10"
    assert [len(part.labels) for part in (loaded.train, loaded.val, loaded.test)] == [18, 2, 4]
    assert loaded.test.labels.tolist() == records[5, :, 0].tolist()
    blue = records[1, 2, 1 + 2 * 1024 :].reshape(32, 32) / 255
    assert np.allclose(loaded.train.images[6, 2].numpy(), blue)


def test_a_broken_official_cifar_is_no_reason_to_take_another(tmp_path, monkeypatch):
    monkeypatch.setenv("GEODL_DATA", str(tmp_path))
    path = tmp_path / "cifar10_official" / "cifar-10-binary.tar.gz"
    path.parent.mkdir()
    path.write_bytes(b"the first of 170 MB")
    for official in (None, True):
        with pytest.raises(GeodlError, match="truncated .*geodl data get cifar10_official"):
            data.cifar10(official=official)
    with pytest.raises(GeodlError, match="give True, False or None"):
        data.cifar10(official="JPEG")  # pyright: ignore[reportArgumentType]
    monkeypatch.setenv("GEODL_MIRROR", str(tmp_path))
    copies = tmp_path / "cifar10" / "cifar10-10k-jpeg.zip"
    copies.parent.mkdir()
    copies.write_bytes(b"PK")
    with pytest.raises(GeodlError, match="10k-jpeg.zip .*truncated"):
        data.cifar10(official=False)


def test_voxels_are_where_points_are():
    points = torch.tensor([[[0.0, 0.3, -1.09], [0.0, 0.3, -1.0], [1.2, 0.0, 0.0]]])
    box = data.voxels(points, 11)
    assert box.shape == (1, 1, 11, 11, 11)
    assert box.nonzero()[:, 2:].tolist() == [[5, 7, 0]]
    with pytest.raises(GeodlError, match=r"clouds \[M, P, 3\]"):
        data.voxels(points[0], 11)
    with pytest.raises(GeodlError, match="at least 1"):
        data.voxels(points, 0)
    solid = data.solid_voxels(8, points=32)
    assert solid.train.images.shape == (800, 1, 8, 8, 8)
    assert solid.test.labels.bincount().tolist() == [50] * 8


def test_karate():
    club = data.karate()
    assert club.signal.domain.num_nodes == 34 and club.signal.domain.edge_index.shape == (2, 156)
    assert torch.equal(club.signal.x[0], torch.eye(34))
    assert club.labels.bincount().tolist() == [17, 17]
    assert club.train.nonzero().flatten().tolist() == [0, 33] and club.labels[
        club.train
    ].tolist() == [0, 1]
    assert not club.val.any() and torch.equal(club.test, ~club.train)


def test_digits_are_split_once_and_in_proportion():
    first, again, other = data.digits(), data.digits(), data.digits(seed=1)
    parts = first.train, first.val, first.test
    assert [len(part.labels) for part in parts] == [997, 300, 500]
    assert all(part.images.shape[1:] == (1, 8, 8) and part.images.max() == 1 for part in parts)
    assert all(part.labels.bincount().min() >= 0.09 * len(part.labels) for part in parts)
    assert torch.equal(first.test.images, again.test.images)
    assert not torch.equal(first.test.images, other.test.images)
    whole = torch.cat([part.images for part in parts]).flatten(1).unique(dim=0)
    assert len(whole) == len(
        torch.cat([part.images for part in (other.train, other.val, other.test)])
        .flatten(1)
        .unique(dim=0)
    )


@pytest.mark.parametrize("degrees", [0, 90, 180, 270, 360, -90, 450])
def test_rotate_is_exact_and_agrees_with_the_bilinear_one(degrees):
    x = torch.rand(3, 2, 7, 7, dtype=torch.float64)
    exact = data.rotate(x, degrees)
    assert torch.equal(exact, torch.rot90(x, degrees // 90, (2, 3)))
    bilinear = images.turn(x, torch.full((3,), float(degrees), dtype=torch.float64))
    assert (exact - bilinear).abs().max() < 1e-12


def test_rotate_by_45_degrees_twice_is_nearly_90():
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 4, 6] = 1.0
    turned = data.rotate(x, 45)
    assert turned.argmax() == 3 * 9 + 5  # right of the centre goes up and to the right
    assert turned.sum() > 0.5 and data.rotate(turned, 45).argmax() == data.rotate(x, 90).argmax()


@pytest.mark.parametrize(
    "x", [torch.zeros(1, 1, 8, 9), torch.zeros(8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.uint8)]
)
def test_rotate_refuses_what_is_no_square_image(x):
    with pytest.raises(GeodlError, match=r"\[M, C, H, H\]"):
        data.rotate(x, 45)


def test_rotate_refuses_an_angle_that_is_none():
    with pytest.raises(GeodlError, match="finite"):
        data.rotate(torch.zeros(1, 1, 8, 8), float("nan"))


@pytest.mark.parametrize("load", [data.digits, data.rotated_mnist])
@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, "0"])
def test_a_seed_is_an_integer(load, seed):
    with pytest.raises(GeodlError, match="seed"):
        load(seed=seed)


def test_made_images_are_the_named_sources_turned_by_the_named_angles(upright):
    made = rotated.make(*upright, 0, SMALL)
    assert made["images"].shape == (60, 28, 28) and made["images"].dtype == np.uint8
    assert len(set(made["source"])) == 60
    assert (made["labels"] == upright[1][made["source"]]).all()
    assert made["degrees"].min() >= 0 and made["degrees"].max() < 360 and made["degrees"].std() > 60
    one = torch.from_numpy(upright[0][made["source"][7]]).double()[None, None]
    assert torch.equal(
        data.rotate(one, made["degrees"][7]).round().byte()[0, 0],
        torch.from_numpy(made["images"][7]),
    )


def test_the_same_seed_makes_the_same_bytes_whatever_the_threads(upright):
    threads = torch.get_num_threads()
    first = rotated.digest(rotated.make(*upright, 3, SMALL))
    try:
        torch.set_num_threads(threads + 1)
        assert rotated.digest(rotated.make(*upright, 3, SMALL)) == first
    finally:
        torch.set_num_threads(threads)
    assert rotated.digest(rotated.make(*upright, 4, SMALL)) != first


@pytest.fixture
def small(tmp_path, monkeypatch, upright):
    """Rotated MNIST at a small size, and a count of how often it was made."""
    calls = []
    monkeypatch.setattr(rotated, "SIZES", SMALL)
    monkeypatch.setattr(rotated, "mnist_bytes", lambda: calls.append(1) or upright)
    monkeypatch.setenv("GEODL_DATA", str(tmp_path))
    return calls


def test_rotated_mnist_is_made_once_for_each_seed(small):
    first, again, other = data.rotated_mnist(), data.rotated_mnist(), data.rotated_mnist(seed=1)
    assert first.name == "rotated-mnist (made from MNIST)" and len(small) == 2
    for ours, theirs in zip(
        (first.train, first.val, first.test), (again.train, again.val, again.test), strict=True
    ):
        assert torch.equal(ours.images, theirs.images) and torch.equal(ours.labels, theirs.labels)
    assert [len(part.labels) for part in (first.train, first.val, first.test)] == list(SMALL)
    assert first.train.images.dtype == torch.float32 and first.train.images.max() <= 1
    assert not torch.equal(first.test.images, other.test.images)


def flip_a_pixel(path):
    arrays = dict(np.load(path))
    arrays["images"][5, 14, 14] ^= 1
    np.savez(path, **arrays)


def change_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_pixel,
        change_a_byte,
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        lambda path: path.write_bytes(b""),
    ],
)
def test_a_damaged_file_is_noticed_and_made_again(small, damage):
    first = data.rotated_mnist()
    (path,) = (data.root() / "rotated_mnist").iterdir()
    damage(path)
    with pytest.warns(UserWarning, match="damaged"):
        again = data.rotated_mnist()
    assert torch.equal(first.test.images, again.test.images) and len(small) == 2
    data.rotated_mnist()
    assert len(small) == 2


def test_a_write_that_fails_leaves_nothing(small, monkeypatch):
    def full(opened, **arrays):
        opened.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(GeodlError, match="No space left on device; make room, or set GEODL_DATA"):
        data.rotated_mnist()
    assert list((data.root() / "rotated_mnist").iterdir()) == []


def write_official(folder, sizes, columns=785):
    random, folder = np.random.RandomState(0), folder / "rotated_mnist"
    folder.mkdir()
    written = []
    for name, count in zip(rotated.OFFICIAL, (sizes[0] + sizes[1], sizes[2]), strict=True):
        rows = np.hstack([random.rand(count, columns - 1), random.randint(0, 10, (count, 1))])
        np.savetxt(folder / name, rows)
        written.append(rows)
    return folder, np.vstack(written)


def test_official_files_are_read_row_by_row_where_they_are(small, tmp_path):
    _, rows = write_official(tmp_path, SMALL)
    loaded = data.rotated_mnist()
    parts = loaded.train, loaded.val, loaded.test
    assert loaded.name == "rotated-mnist (official)" and small == []
    assert [len(part.labels) for part in parts] == list(SMALL)
    seen = torch.cat([part.images for part in parts])
    assert (
        seen.dtype == torch.float32
        and (seen[:, 0, 3, 5].numpy() == rows[:, 3 * 28 + 5].astype(np.float32)).all()
    )
    assert (torch.cat([part.labels for part in parts]).numpy() == rows[:, -1]).all()
    with pytest.raises(GeodlError, match="official files, which have no seed"):
        data.rotated_mnist(seed=1)


def test_one_official_file_without_the_other(small, tmp_path):
    folder, _ = write_official(tmp_path, SMALL)
    (folder / rotated.OFFICIAL[1]).unlink()
    with pytest.raises(GeodlError, match="float_test.amat"):
        data.rotated_mnist()


@pytest.mark.parametrize(
    ("sizes", "columns", "said"), [((20, 10, 29), 785, "29 rows"), (SMALL, 784, "784 numbers")]
)
def test_official_files_of_another_shape(small, tmp_path, sizes, columns, said):
    write_official(tmp_path, sizes, columns)
    with pytest.raises(GeodlError, match=said):
        data.rotated_mnist()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [(" ", " x ", "amat"), (r"^\S+", "nan", "finite"), (r"\S+\n", "0.5\n", "digit")],
)
def test_official_files_with_other_content(small, tmp_path, old, new, said):
    folder, _ = write_official(tmp_path, SMALL)
    path = folder / rotated.OFFICIAL[1]
    path.write_text(re.sub(old, new, path.read_text(), count=1))
    with pytest.raises(GeodlError, match=said):
        data.rotated_mnist()


def test_the_whole_of_rotated_mnist(data_root):
    """The real thing: sizes, no image twice, and the bytes that the card promises."""
    loaded = data.rotated_mnist()
    kept = np.load(data_root / "rotated_mnist" / "made-from-mnist-seed-0.npz")
    assert str(kept["sha256"]) == data.card("rotated_mnist").made_sha256
    assert [len(part.labels) for part in (loaded.train, loaded.val, loaded.test)] == [
        10000,
        2000,
        50000,
    ]
    assert len(np.unique(kept["source"])) == 62000
    assert abs(float(loaded.train.images.mean()) - 0.1307) < 0.002

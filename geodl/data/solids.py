"""Clouds of points on generated solids, and the voxels that they touch: data sets of shapes that
need no download.
"""

import math

import torch
from torch import Generator, Tensor

from geodl.data.arguments import check_count, check_seed, describe
from geodl.data.base import CloudData, Clouds, ImageData, Split
from geodl.errors import GeodlError

SOLIDS = ("sphere", "cube", "cylinder", "cone", "torus", "tetrahedron", "octahedron", "ring")
SIZES = {"train": 100, "val": 25, "test": 50}  # of each solid
NOISE = 0.02
REACH = 1.1  # half the side of the box of voxels: a solid reaches to 1, its noise a little further


def solids(points: int = 128, *, seed: int = 0) -> CloudData:
    """Clouds of points on the surfaces of eight solids: 800 to learn from, 200 to validate, 400 to
    test, as many of each solid.

    Each solid is stretched along each axis by a random factor in [0.8, 1.25], rotated at random,
    centred at the mean of its points and scaled to a largest distance of 1 from there; then normal
    noise of standard deviation 0.02 is added to each coordinate.

    Args:
        points: P, how many a cloud has, drawn uniformly from the surface of the solid before it is
            stretched.
        seed: of the random numbers; the same seed gives the same clouds.

    Returns:
        `train`, `val` and `test`, each with clouds `[M, P, 3]`, float32, and labels `[M]`.

    Raises:
        GeodlError: if `points` is not an integer of at least 4, or the seed not one of numpy's.

    >>> import geodl as g
    >>> data = g.data.solids(16)
    >>> data.train.points.shape, data.classes[:3]
    (torch.Size([800, 16, 3]), ('sphere', 'cube', 'cylinder'))
    """
    points = check_count(f"solids of {points!r} points", points, least=4)
    chance = torch.Generator().manual_seed(check_seed(seed))
    parts = [_part(count, points, chance) for count in SIZES.values()]
    return CloudData("solids", *parts, classes=SOLIDS)


def solid_voxels(size: int = 16, *, points: int = 512, seed: int = 0) -> ImageData:
    """The clouds of :func:`solids` as images of three axes `[M, 1, size, size, size]`: 1 where a
    voxel has a point in it, else 0.

    Args:
        size: voxels along each axis of the box, which reaches from -1.1 to 1.1.
        points: number of points of each cloud.
        seed: of the random numbers, as in :func:`solids`.

    Raises:
        GeodlError: if `size` is not a positive integer, or as :func:`solids`.

    >>> import geodl as g
    >>> g.data.solid_voxels(4, points=16).test.images.shape
    torch.Size([400, 1, 4, 4, 4])
    """
    clouds = solids(points, seed=seed)
    parts = []
    for part in (clouds.train, clouds.val, clouds.test):
        parts.append(Split(voxels(part.points, size), part.labels))
    name = f"solids, {size} x {size} x {size} voxels"
    return ImageData(name, *parts, num_classes=len(SOLIDS))


def voxels(points: Tensor, size: int) -> Tensor:
    """The voxels `[M, 1, size, size, size]` that clouds of points `[M, P, 3]` touch: 1 or 0, of the
    points' dtype. Points outside of the box from -1.1 to 1.1 are left out.

    Turning a cloud about an axis through the origin by 90 degrees turns its voxels.

    Raises:
        GeodlError: if `size` is not a positive integer, or the points are no floating point numbers
            `[M, P, 3]`.

    >>> voxels(torch.tensor([[[0.5, 0.5, -0.5]]]), 2).flatten().tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    """
    size = check_count(f"voxels of {size!r} along each axis", size)
    if points.ndim != 3 or points.shape[2] != 3 or not points.is_floating_point():
        raise GeodlError("voxels", describe(points), "give floating point clouds [M, P, 3]")
    voxel = ((points + REACH) * (size / (2 * REACH))).floor().long()
    inside = ((voxel >= 0) & (voxel < size)).all(2)
    cloud, _ = inside.nonzero(as_tuple=True)
    x, y, z = voxel[inside].unbind(1)
    touched = points.new_zeros(len(points), 1, size, size, size)
    touched[cloud, 0, x, y, z] = 1
    return touched


def _part(count: int, points: int, chance: Generator) -> Clouds:
    """Clouds of every solid, `count` of each, one solid after the other."""
    clouds = [_placed(SURFACES[name](count, points, chance), chance) for name in SOLIDS]
    labels = torch.arange(len(SOLIDS)).repeat_interleave(count)
    return Clouds(torch.cat(clouds).float(), labels)


def _placed(clouds: Tensor, chance: Generator) -> Tensor:
    """Clouds `[M, P, 3]` stretched, turned, centred and scaled, with noise added."""
    count = len(clouds)
    stretch = 0.8 * (1.25 / 0.8) ** _uniform((count, 1, 3), chance)
    # The orthogonal factor of a matrix of normal numbers is uniform over all turns once the signs
    # of the triangular one are fixed (Mezzadri, "How to generate random matrices from the classical
    # compact groups", 2007).
    q, r = torch.linalg.qr(_normal((count, 3, 3), chance))
    turns = q * r.diagonal(dim1=1, dim2=2).sign()[:, None, :]
    turned = (clouds * stretch) @ turns
    centred = turned - turned.mean(1, keepdim=True)
    radius = centred.norm(dim=2).amax(1)[:, None, None]
    return centred / radius + NOISE * _normal(centred.shape, chance)


def _sphere(count: int, points: int, chance: Generator) -> Tensor:
    return torch.nn.functional.normalize(_normal((count, points, 3), chance), dim=2)


def _cube(count: int, points: int, chance: Generator) -> Tensor:
    """One coordinate of each point is -1 or 1, the others are uniform in between."""
    inside = 2 * _uniform((count, points, 3), chance) - 1
    axis = torch.randint(3, (count, points, 1), generator=chance)
    side = 2.0 * torch.randint(2, (count, points, 1), generator=chance) - 1
    return inside.scatter(2, axis, side.double())


def _cylinder(count: int, points: int, chance: Generator) -> Tensor:
    """Of radius 1 and height 2: its two ends have a third of its area, 2 pi of 6 pi."""
    angle, height, share, radius = _uniform((4, count, points), chance)
    height = 2 * height - 1
    at_an_end = share < 1 / 3
    radius = torch.where(at_an_end, radius.sqrt(), 1.0)
    height = torch.where(at_an_end, height.sign(), height)
    return _around(angle, radius, height)


def _cone(count: int, points: int, chance: Generator) -> Tensor:
    """Of radius 1 and height 2: the base has the area pi, the side pi sqrt(5), its radius falls
    linearly to the tip; points are uniform on both where the square of their radius is.
    """
    angle, share, square = _uniform((3, count, points), chance)
    radius = square.sqrt()
    on_the_base = share < 1 / (1 + math.sqrt(5))
    height = torch.where(on_the_base, -1.0, 1 - 2 * radius)
    return _around(angle, radius, height)


def _torus(count: int, points: int, chance: Generator) -> Tensor:
    return _tube(count, points, chance, thickness=0.4)


def _ring(count: int, points: int, chance: Generator) -> Tensor:
    """A thin torus."""
    return _tube(count, points, chance, thickness=0.1)


def _tube(count: int, points: int, chance: Generator, *, thickness: float) -> Tensor:
    """A tube around a circle of radius 1. More of its area is on the outside: the angle t around
    the tube has a density proportional to `1 + thickness cos t`. It is drawn uniformly and kept
    with probability `(1 + thickness cos t) / 2`, else replaced by `pi - t`, whose cosine has the
    other sign.
    """
    angle, around, share = _uniform((3, count, points), chance)
    lean = thickness * torch.cos(2 * math.pi * around)
    around = torch.where(share < (1 + lean) / 2, around, 0.5 - around)
    radius = 1 + thickness * torch.cos(2 * math.pi * around)
    return _around(angle, radius, thickness * torch.sin(2 * math.pi * around))


def _tetrahedron(count: int, points: int, chance: Generator) -> Tensor:
    corners = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]).double()
    faces = torch.tensor([[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]])
    return _on_faces(corners[faces], count, points, chance)


def _octahedron(count: int, points: int, chance: Generator) -> Tensor:
    """One face in each of the eight directions of signs."""
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0]).double()] * 3)
    return _on_faces(torch.diag_embed(signs), count, points, chance)


def _on_faces(faces: Tensor, count: int, points: int, chance: Generator) -> Tensor:
    """Points on triangles `[F, 3, 3]` of equal area."""
    face = torch.randint(len(faces), (count, points), generator=chance)
    # The gaps between sorted uniform numbers are weights that add up to 1, uniform on the triangle.
    cut = _uniform((count, points, 2), chance).sort(2).values
    ends = torch.nn.functional.pad(torch.nn.functional.pad(cut, (1, 0)), (0, 1), value=1.0)
    return (ends.diff(dim=2)[..., None] * faces[face]).sum(2)


def _around(angle: Tensor, radius: Tensor, height: Tensor) -> Tensor:
    """Points by their angle about the third axis, in turns, their distance from it and height."""
    angle = 2 * math.pi * angle
    return torch.stack((radius * torch.cos(angle), radius * torch.sin(angle), height), dim=-1)


def _uniform(shape: tuple[int, ...], chance: Generator) -> Tensor:
    return torch.rand(shape, generator=chance, dtype=torch.float64)


def _normal(shape: tuple[int, ...], chance: Generator) -> Tensor:
    return torch.randn(shape, generator=chance, dtype=torch.float64)


SURFACES = {
    "sphere": _sphere,
    "cube": _cube,
    "cylinder": _cylinder,
    "cone": _cone,
    "torus": _torus,
    "tetrahedron": _tetrahedron,
    "octahedron": _octahedron,
    "ring": _ring,
}

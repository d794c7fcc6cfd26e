"""Superpixels as input: a photograph as a graph of regions, and how much of it they keep."""

import torch
from sklearn.datasets import load_sample_image

import geodl as g

photograph = torch.tensor(load_sample_image("flower.jpg")).movedim(-1, 0)
image = photograph[:, 100:340:2, 100:420:2] / 255
pixels = g.Signal.image(image[None])
layer = g.Conv(3, 8, g.adjacency("sym", self_loops=True))


def kept(picture: torch.Tensor) -> str:
    """The share of the image's variance that a picture of it has."""
    lost = (picture - image).square().mean() / image.var(unbiased=False)
    return f"{1 - float(lost):6.1%}"


print(f"{image.shape[1]} x {image.shape[2]} pixels in fewer nodes, each with its mean color:")
for block in (20, 10, 5):
    squares = g.Pool(g.window(block, stride=block), "mean")(pixels)
    back = torch.nn.functional.interpolate(squares.to_image(), scale_factor=block)[0]
    print(f"{squares.shape[1]:6} squares       keep {kept(back)} of the variance")

    found = g.data.superpixels(image, squares.shape[1])
    means = g.Signal(g.Pool(found.relation, "mean")(pixels).x, found.graph)
    painted = g.Propagate(found.relation.reverse())(means).x[0].T.reshape(image.shape)
    print(f"{means.shape[1]:6} superpixels   keep {kept(painted)}; {found.graph}")
    print(f"       one layer, whatever the graph: {list(layer(means).x.shape)}")

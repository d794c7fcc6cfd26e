"""The stops of the tour. Each computes its numbers and draws its pictures; none writes a file."""

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from geodl import data, models, viz
from geodl.domain import Chain, Complete, Domain, Graph, Grid, GroupGrid
from geodl.group import C
from geodl.layer import Attention, Conv, Residual, Sequential
from geodl.neighborhood import Neighborhood, adjacency, all_pairs, past, window
from geodl.signal import Signal
from geodl.symmetry import certify
from geodl.testing import assert_parity, error
from geodl.tour.page import Picture, Stop

EXACT = 1e-10  # float64, as the claims that `geodl verify` proves


def five_domains() -> Stop:
    """The same layer class on five domains: what ran, why, and how far it is from the written-out
    edges.
    """
    cases: dict[str, tuple[Domain, Neighborhood]] = {
        "image: a CNN": (Grid(8, 8), window(3)),
        "sequence: a causal CNN": (Chain(24), window(3, axes=1, padding="causal")),
        "set: DeepSets": (Complete(10), all_pairs("self")),
        "graph: a GCN": (data.karate().signal.domain, adjacency("sym", self_loops=True)),
        "group: a p4 CNN": (GroupGrid(Grid(8, 8), C(4)), window(3, group=C(4))),
    }
    table = [("what it is", "domain", "neighborhood", "weights", "ran on", "off by")]
    reasons: list[str] = []
    largest = 0.0
    for name, (domain, rule) in cases.items():
        layer = Conv(3, 4, rule).double()
        signal = Signal(torch.randn(2, domain.num_nodes, 3, dtype=torch.float64), domain)
        choice = layer.explain(signal)
        apart = assert_parity(layer, signal, bound=float("inf"))[choice.lowering]
        largest = max(largest, apart)
        weights = str(rule.num_edge_types)
        table.append((name, str(domain), str(rule), weights, choice.lowering, f"{apart:.0e}"))
        reasons.append(str(choice))
    says = (
        "The layer is Conv(3, 4, neighborhood) each time: edges of one type share one weight. The "
        "domain decides which kernel runs, and each faster way that was passed over says why. The "
        "last column is the largest difference, in outputs and all gradients, from gathering and "
        "scattering along the edges one by one."
    )
    return Stop(says, table, "\n".join(reasons), holds=largest <= EXACT)


def rotated_digits(epochs: int, say: Callable[[str], object]) -> Stop:
    """A p4 CNN and a CNN of about as many parameters learn upright digits and are tested on rotated
    ones.
    """
    digits = data.digits()
    networks = {"p4 CNN": models.digits_p4cnn(), "CNN": models.digits_cnn(channels=25)}
    head = ["network", "parameters", "upright", "at 0, 90, 180, 270 (mean)"]
    table = [[*head, "same answer at all four", "at 45 (not exact)"]]
    count, same = len(digits.test.labels), {}
    for name, model in networks.items():
        start = time.perf_counter()
        _train(model, digits.train, epochs)
        say(f"      trained the {name}, {epochs} epochs: {time.perf_counter() - start:.1f} s")
        right, same[name] = _test_at_angles(model, digits.test)
        size = sum(p.numel() for p in model.parameters())
        accuracies = [f"{right[0]:.1%}", f"{right[:4].mean():.1%}"]
        agreement = [f"{same[name]} of {count}", f"{right[4]:.1%}"]
        table.append([name, str(size), *accuracies, *agreement])
    proofs = {name: certify(model, Grid(8, 8), C(4)) for name, model in networks.items()}
    proof = "\n".join(f"{name}: {certificate}" for name, certificate in proofs.items())
    says = (
        f"Both networks saw {len(digits.train.labels)} upright digits of 8 x 8 pixels, {epochs} "
        f"times, and no rotated one; the numbers are accuracies on {count} others, rotated by so "
        "many degrees. That the p4 CNN gives the same answer at every quarter turn follows from "
        "its edges alone, as proved below. At 45 degrees pixels are interpolated, and nothing is "
        "promised for either network."
    )
    holds = proofs["p4 CNN"].exact and same["p4 CNN"] == count
    return Stop(says, table, proof, (_strip(networks["p4 CNN"], digits.test),), holds)


def _test_at_angles(model: nn.Module, part: data.Split) -> tuple[Tensor, int]:
    """The accuracies at 0, 90, 180, 270 and 45 degrees `[5]`, and how many images get one answer at
    all four quarter turns.
    """
    answers = []
    for degrees in (0, 90, 180, 270, 45):
        answers.append(_predict(model, data.rotate(part.images, degrees)))
    predicted = torch.stack(answers)
    right = (predicted == part.labels).double().mean(1)
    same = (predicted[:4] == predicted[0]).all(0)
    return right, int(same.sum())


def _strip(model: nn.Module, part: data.Split) -> Picture:
    """The feature maps of a seven at the four quarter turns."""
    seven = int((part.labels == 7).nonzero()[0])
    alt = (
        "A digit at 0, 90, 180 and 270 degrees; four feature maps below each, in coloured frames; "
        "the probabilities of the ten classes at the bottom, the same in each column."
    )
    caption = (
        "Follow a colour from left to right: the map turns with the image and moves to the next "
        "element of the group. The maximum over the four forgets where it was: the answer stays."
    )
    figure = viz.feature_strip(model, part.images[seven].double())
    return Picture("feature-maps.png", figure, alt, caption)


def karate_club(epochs: int) -> Stop:
    """A GCN is given the class of two members and predicts the other 32."""
    club = data.karate()
    model = models.gcn(34, 16, club.num_classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    for _ in range(epochs):
        logits = model(club.signal).x[0]
        _step(optimizer, nn.functional.cross_entropy(logits[club.train], club.labels[club.train]))
    model.eval()
    with torch.no_grad():
        predicted = model(club.signal).x[0].argmax(-1)
    right = int((predicted == club.labels)[club.test].sum())
    given, asked = int(club.train.sum()), int(club.test.sum())
    says = (
        "Zachary watched a karate club split in two. The network is told which side the instructor "
        "(0) and the president (33) took, sees who is friends with whom, and predicts the side of "
        f"the other {asked} members. Features: none but the members' names."
    )
    alt = (
        "34 members joined by friendships, coloured by predicted side; "
        f"{asked - right} have a ring of the other colour."
    )
    caption = (
        "Inside: the predicted side. Ring: the side that was taken. Squares: the two that the "
        "network was told."
    )
    title = "The karate club, by its GCN"
    figure = viz.graph(club.signal.domain, club.labels, predicted, known=club.train, title=title)
    accuracy = f"{right} of {asked} ({right / asked:.1%})"
    head = ("network", "epochs", "told", "right on the others")
    table = [head, ("GCN", str(epochs), str(given), accuracy)]
    return Stop(says, table, pictures=(Picture("karate-club.png", figure, alt, caption),))


def transformer() -> Stop:
    """torch's encoder layer and ours, with the same weights, under three masks."""
    tokens, channels, heads = 12, 32, 4
    twin = nn.TransformerEncoderLayer(
        channels, heads, dim_feedforward=64, dropout=0.0, batch_first=True
    ).double()
    for parameter in twin.parameters():
        nn.init.normal_(parameter, std=0.3)
    attention = Attention(channels, all_pairs(), heads=heads).double()
    attention.load_state_dict(twin.self_attn.state_dict())
    cases: dict[str, tuple[Domain, Neighborhood]] = {
        "none": (Complete(tokens), all_pairs()),
        "causal": (Chain(tokens), past()),
        "neighbors on a ring": (_ring(tokens), adjacency(self_loops=True)),
    }
    head = ("torch's mask", "our domain", "neighborhood", "edges", "ran on", "largest difference")
    table: list[tuple[str, ...]] = [head]
    largest = 0.0
    x = torch.randn(3, tokens, channels, dtype=torch.float64)
    for name, (domain, rule) in cases.items():
        layer = attention.over(rule)
        feed_forward = Residual(twin.linear1, nn.ReLU(), twin.linear2)
        ours = Sequential(Residual(layer), twin.norm1, feed_forward, twin.norm2)
        edges = rule.edges(domain)
        mask = torch.ones(tokens, tokens, dtype=torch.bool)
        mask[edges.dst, edges.src] = False
        apart = error(ours(Signal(x, domain)).x, twin(x, src_mask=mask))
        largest = max(largest, apart)
        ran, num_edges = layer.explain(domain).lowering, str(len(edges.dst))
        table.append((name, str(domain), str(rule), num_edges, ran, f"{apart:.0e}"))
    says = (
        "The weights of nn.TransformerEncoderLayer, loaded into our attention on a graph: on the "
        "complete graph it is the same function, and a mask is a missing edge."
    )
    return Stop(says, table, holds=largest <= EXACT)


def _ring(n: int) -> Graph:
    """A ring of n nodes, every link in both directions."""
    node = torch.arange(n)
    source = torch.cat([node, node.roll(1)])
    target = torch.cat([node.roll(1), node])
    return Graph(torch.stack([source, target]), n)


def weight_tying() -> Stop:
    """Four layers as matrices: one colour for each weight."""
    group = C(4)
    cases: list[tuple[str, Neighborhood, Domain, str]] = [
        ("convolution", window(3), Grid(5, 5), "Each diagonal is one offset."),
        (
            "p4 convolution",
            window(3, group=group),
            GroupGrid(Grid(3, 3), group),
            "One hue for an offset, one shade for a turn.",
        ),
        (
            "DeepSets",
            all_pairs("self"),
            Complete(9),
            "Nobody has a place: one weight for oneself, one for all others.",
        ),
        (
            "orbits of a ring",
            all_pairs("orbit"),
            Grid(8, periodic=True),
            "Turns and reflections leave only the distance.",
        ),
    ]
    table = [("layer", "neighborhood", "domain", "pairs of nodes", "edges", "weights")]
    pictures = []
    for name, rule, domain, caption in cases:
        edges, weights = len(rule.edges(domain).dst), rule.num_types(domain)
        pairs = rule.target(domain).num_nodes * domain.num_nodes
        table.append((name, str(rule), str(domain), str(pairs), str(edges), str(weights)))
        file = f"tying-{name.replace(' ', '-').lower()}.png"
        alt = f"The matrix of {rule} on {domain}: {edges} of {pairs} cells in {weights} colours."
        caption = f"{name[0].upper()}{name[1:]}. {caption}"
        pictures.append(Picture(file, viz.tying(rule, domain), alt, caption))
    says = (
        "A linear layer is a matrix from senders to receivers. Sharing weights is sharing colours: "
        "the symmetry of the domain says which cells are the same, the neighborhood says which are "
        "there at all."
    )
    return Stop(says, table, pictures=tuple(pictures))


def _train(model: nn.Module, part: data.Split, epochs: int) -> None:
    """Train a classifier of images, and leave it in evaluation mode and double precision."""
    optimizer = torch.optim.Adam(model.parameters())
    steps = epochs * len(part.labels.split(128))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(part.labels)).split(128):
            logits = model(Signal.image(part.images[batch])).x[:, 0]
            _step(optimizer, nn.functional.cross_entropy(logits, part.labels[batch]))
            schedule.step()
    # In float32 two classes can be so close that rounding decides, differently at each turn.
    model.eval().double()


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _predict(model: nn.Module, images: Tensor) -> Tensor:
    """The most probable class of each image."""
    with torch.no_grad():
        return model(Signal.image(images.double())).x[:, 0].argmax(-1)

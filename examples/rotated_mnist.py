"""A network whose answer a quarter turn does not change: the P4CNN of Cohen and Welling (2016) on
rotated MNIST.

    python examples/rotated_mnist.py                            # the whole of it
    python examples/rotated_mnist.py --epochs 2 --limit 1000    # a quick look

trains it without augmentation and prints the test error, with the name of the data set, and the
largest change of a predicted probability when the test images are turned by 90 degrees (exact
arithmetic would give 0).
"""

import argparse

import torch
from torch import nn

import geodl as g

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--limit", type=int, default=None, help="use only so many images of each part")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

torch.manual_seed(args.seed)
data = g.data.rotated_mnist()
images, labels = (part[: args.limit] for part in data.train)
test_images, test_labels = (part[: args.limit] for part in data.test)

model = g.models.p4cnn()
assert g.certify(model, g.Grid(28, 28)).exact  # proved edge by edge, before any training

steps = args.epochs * len(labels.split(128))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=max(1, steps))

for epoch in range(args.epochs):
    total = 0.0
    for batch in torch.randperm(len(labels)).split(128):
        logits = model(g.Signal.image(images[batch])).x[:, 0]
        loss = nn.functional.cross_entropy(logits, labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item() * len(batch)
    loss = total / len(labels)
    print(f"epoch {epoch + 1} of {args.epochs}: training loss {loss:.3f}", flush=True)


def predict(x: torch.Tensor) -> torch.Tensor:
    """Class probabilities, a thousand images at a time."""
    with torch.no_grad():
        logits = [model(g.Signal.image(part)).x[:, 0] for part in x.split(1000)]
    return torch.cat(logits).softmax(-1)


model.eval()
upright = predict(test_images)
turned = predict(g.data.rotate(test_images, 90))
error = (upright.argmax(-1) != test_labels).float().mean().item()
change = (upright - turned).abs().max().item()
print(
    f"{data.name}: test error {error:.2%} on {len(test_labels)} images; "
    f"a turn by 90 degrees changes at most {change:.0e}"
)

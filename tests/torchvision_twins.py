"""Networks with the names and shapes of torchvision's, as modules of torch alone."""

import torch
from torch import Tensor, nn


def alexnet() -> nn.Module:
    """AlexNet of one tower."""
    features = nn.Sequential(
        *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
    )
    classifier = nn.Sequential(
        *(nn.Dropout(), nn.Linear(256 * 36, 4096), nn.ReLU()),
        *(nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)),
    )
    return nn.ModuleDict({"features": features, "classifier": classifier})


def vgg11() -> nn.Module:
    """VGG-11 with batch norms."""
    parts: list[nn.Module] = []
    before = 3
    for width in (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0):
        if not width:
            parts.append(nn.MaxPool2d(2, 2))
            continue
        parts += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        before = width
    classifier = nn.Sequential(
        *(nn.Linear(512 * 49, 4096), nn.ReLU(), nn.Dropout()),
        *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 1000)),
    )
    return nn.ModuleDict({"features": nn.Sequential(*parts), "classifier": classifier})


class LeNet(nn.Module):
    """LeNet-5 as it is usually written."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.max_pool2d(self.conv1(x).relu(), 2)
        x = torch.max_pool2d(self.conv2(x).relu(), 2).flatten(1)
        return self.fc3(self.fc2(self.fc1(x).relu()).relu())


class Block(nn.Module):
    """The basic block of a ResNet, or its bottleneck."""

    def __init__(self, before: int, width: int, stride: int, bottleneck: bool):
        super().__init__()
        after = 4 * width if bottleneck else width
        sizes = [(before, width, 3, stride), (width, width, 3, 1)]
        if bottleneck:
            sizes = [(before, width, 1, 1), (width, width, 3, stride), (width, after, 1, 1)]
        for k, (cin, cout, size, step) in enumerate(sizes, 1):
            conv = nn.Conv2d(cin, cout, size, step, size // 2, bias=False)
            self.add_module(f"conv{k}", conv)
            self.add_module(f"bn{k}", nn.BatchNorm2d(cout))
        self.count = len(sizes)
        if stride > 1 or before != after:
            projection = nn.Conv2d(before, after, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        kept = self.downsample(x) if hasattr(self, "downsample") else x
        for k in range(1, self.count + 1):
            x = self.get_submodule(f"bn{k}")(self.get_submodule(f"conv{k}")(x))
            if k < self.count:
                x = x.relu()
        return (x + kept).relu()


class ResNet(nn.Module):
    """ResNet-18 or ResNet-50, of any width."""

    def __init__(self, counts: tuple[int, ...], channels: int, classes: int, bottleneck: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 7, 2, 3, bias=False)
        self.bn1, self.maxpool = nn.BatchNorm2d(channels), nn.MaxPool2d(3, 2, 1)
        before = channels
        for k, count in enumerate(counts):
            blocks = []
            for number in range(count):
                stride = 2 if k and not number else 1
                blocks.append(Block(before, channels * 2**k, stride, bottleneck))
                before = channels * 2**k * (4 if bottleneck else 1)
            self.add_module(f"layer{k + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        for k in range(1, 5):
            x = self.get_submodule(f"layer{k}")(x)
        return self.fc(x.mean((2, 3)))


class BasicConv2d(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, before: int, after: int, size: int, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(before, after, size, stride, size // 2, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu()


class Inception(nn.Module):
    """A block of GoogLeNet, from the numbers of its table."""

    def __init__(self, before: int, *widths: int):
        super().__init__()
        alone, reduced, middle, less, wide, pooled = widths
        self.branch1 = BasicConv2d(before, alone, 1)
        self.branch2 = nn.Sequential(
            BasicConv2d(before, reduced, 1), BasicConv2d(reduced, middle, 3)
        )
        self.branch3 = nn.Sequential(BasicConv2d(before, less, 1), BasicConv2d(less, wide, 3))
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, 1, 1, ceil_mode=True), BasicConv2d(before, pooled, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class GoogLeNet(nn.Module):
    """GoogLeNet without auxiliary heads."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = BasicConv2d(3, 64, 7, 2), BasicConv2d(64, 64, 1)
        self.conv3 = BasicConv2d(64, 192, 3)
        self.inception3a = Inception(192, 64, 96, 128, 16, 32, 32)
        self.inception3b = Inception(256, 128, 128, 192, 32, 96, 64)
        self.inception4a = Inception(480, 192, 96, 208, 16, 48, 64)
        self.inception4b = Inception(512, 160, 112, 224, 24, 64, 64)
        self.inception4c = Inception(512, 128, 128, 256, 24, 64, 64)
        self.inception4d = Inception(512, 112, 144, 288, 32, 64, 64)
        self.inception4e = Inception(528, 256, 160, 320, 32, 128, 128)
        self.inception5a = Inception(832, 256, 160, 320, 32, 128, 128)
        self.inception5b = Inception(832, 384, 192, 384, 48, 128, 128)
        self.fc = nn.Linear(1024, 1000)

    def forward(self, x: Tensor) -> Tensor:
        pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        x = pool(self.conv3(self.conv2(pool(self.conv1(x)))))
        x = pool(self.inception3b(self.inception3a(x)))
        for letter in "abcde":
            x = self.get_submodule(f"inception4{letter}")(x)
        x = nn.MaxPool2d(2, 2, ceil_mode=True)(x)
        x = self.inception5b(self.inception5a(x))
        return self.fc(x.mean((2, 3)))

"""Networks on images as people write them: for imports of whole models."""

import torch
import torch.nn.functional as F
from torch import nn


class BasicBlock(nn.Module):
    """The block of ResNet-20 on CIFAR, its sum in place."""

    def __init__(self, channels_in, channels_out, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(BasicBlock(4, 4), BasicBlock(4, 4))
        self.layer2 = nn.Sequential(BasicBlock(4, 8, 2), BasicBlock(8, 8))
        self.linear = nn.Linear(8, 5)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer2(self.layer1(out))
        out = F.avg_pool2d(out, 4)
        out = out.view(out.size(0), -1)
        return self.linear(out)


class BasicConv(nn.Module):
    def __init__(self, channels_in, channels_out, **options):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, bias=False, **options)
        self.bn = nn.BatchNorm2d(channels_out, eps=0.001)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)), inplace=True)


class InceptionBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.branch1 = BasicConv(channels, 4, kernel_size=1)
        self.branch2 = nn.Sequential(
            BasicConv(channels, 3, kernel_size=1), BasicConv(3, 5, kernel_size=3, padding=1)
        )
        self.branch3 = nn.Sequential(
            nn.MaxPool2d(3, 1, 1, ceil_mode=True), BasicConv(channels, 4, kernel_size=1)
        )
        self.branch4 = BasicConv(channels, 2, kernel_size=(1, 7), padding=(0, 3))

    def forward(self, x):
        branches = [branch(x) for branch in (self.branch1, self.branch2, self.branch3)]
        branches.append(self.branch4(F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)))
        return torch.cat(branches, 1)


class Inception(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = BasicConv(3, 6, kernel_size=7, stride=2, padding=3)
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.mixed = nn.Sequential(InceptionBlock(6), InceptionBlock(15))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(0.0)
        self.fc = nn.Linear(15, 5)

    def forward(self, x):
        x = self.mixed(self.pool(self.stem(x)))
        x = torch.flatten(self.avgpool(x), 1)
        return self.fc(self.dropout(x))


class InvertedResidual(nn.Module):
    """MobileNet's block with squeeze and excitation."""

    def __init__(self, channels_in, channels_out, stride, expand):
        super().__init__()
        hidden = channels_in * expand
        self.use_shortcut = stride == 1 and channels_in == channels_out
        self.conv = nn.Sequential(
            nn.Conv2d(channels_in, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.excite = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels_out, 2, 1),
            nn.ReLU(),
            nn.Conv2d(2, channels_out, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x):
        y = self.conv(x)
        y = y * self.excite(y)
        return x + y if self.use_shortcut else y


class MobileNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3, 2, 1),
            nn.Hardswish(),
            InvertedResidual(4, 4, 1, 3),
            InvertedResidual(4, 6, 2, 2),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.0), nn.Linear(6, 3))

    def forward(self, x):
        x = F.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(torch.flatten(x, 1))


class ChannelNorm(nn.Module):
    """ConvNeXt's layer norm, in either order of axes."""

    def __init__(self, channels, channels_first=False):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.channels_first = channels_first
        self.normalized_shape = (channels,)

    def forward(self, x):
        if not self.channels_first:
            return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, 1e-6)
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        x = (x - mean) / torch.sqrt(variance + 1e-6)
        return self.weight[:, None, None] * x + self.bias[:, None, None]


class ConvNeXtBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = ChannelNorm(channels)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.act = nn.GELU()
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(1e-6 * torch.ones(channels))

    def forward(self, x):
        before = x
        x = self.dwconv(x).permute(0, 2, 3, 1)
        x = self.pwconv2(self.act(self.pwconv1(self.norm(x))))
        x = self.gamma * x
        return before + x.permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 4, 4), ChannelNorm(4, channels_first=True))
        self.blocks = nn.Sequential(ConvNeXtBlock(4), ConvNeXtBlock(4))
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.head(self.norm(x.mean([-2, -1])))


class Generator(nn.Module):
    """Of DCGAN's pair."""

    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(6, 8, 4, 1, 0, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(True),
            nn.ConvTranspose2d(8, 4, 4, 2, 1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(True),
            nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, z):
        return self.main(z)


class Discriminator(nn.Module):
    """Of DCGAN's pair."""

    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(3, 4, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(4, 8, 4, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(8, 1, 4, 1, 0, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, image):
        return self.main(image).view(-1, 1).squeeze(1)


class DoubleConv(nn.Module):
    def __init__(self, channels_in, channels_out):
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )

    def forward(self, x):
        return self.double_conv(x)


class Up(nn.Module):
    """Upsampling onto a map of another size, which is padded."""

    def __init__(self, channels_in, channels_out, bilinear):
        super().__init__()
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        else:
            self.up = nn.ConvTranspose2d(channels_in, channels_in // 2, kernel_size=2, stride=2)
            channels_in = channels_in // 2
        self.conv = DoubleConv(channels_in + channels_out, channels_out)

    def forward(self, x1, x2):
        x1 = self.up(x1)
        rows = x2.size()[2] - x1.size()[2]
        columns = x2.size()[3] - x1.size()[3]
        pad = [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2]
        return self.conv(torch.cat([x2, F.pad(x1, pad)], dim=1))


class UNet(nn.Module):
    def __init__(self, bilinear=False):
        super().__init__()
        self.inc = DoubleConv(3, 4)
        self.down1 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(4, 8))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(8, 16))
        self.up1 = Up(16, 8, bilinear)
        self.up2 = Up(8, 4, bilinear)
        self.outc = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        return self.outc(self.up2(self.up1(x3, x2), x1))


class FunctionalCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3)
        self.conv2 = nn.Conv2d(4, 6, 3)
        self.fc1 = nn.Linear(24, 12)
        self.fc2 = nn.Linear(12, 3)

    def forward(self, x):
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        x = x.view(-1, 24)
        x = F.dropout(F.relu(self.fc1(x)), p=0.0, training=self.training)
        return F.log_softmax(self.fc2(x), dim=1)


class OwnWeights(nn.Module):
    """A CNN of functions alone."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 1, 3, 3))
        self.shift = nn.Parameter(torch.randn(4))
        self.second = nn.Parameter(torch.randn(6, 4, 3, 3))
        self.mix = nn.Parameter(torch.randn(3, 6))

    def forward(self, x):
        x = F.conv2d(x, self.kernel, self.shift, padding=1).relu()
        x = F.conv2d(x, self.second, stride=2, padding=1).tanh()
        return x.mean((2, 3)) @ self.mix.t()

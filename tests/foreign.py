"""Models of torch as users write them, by hand: what imports are tried on."""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    """A block of ResNet18: two convolutions around a shortcut, which projects where it must."""

    def __init__(self, cin, cout, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.downsample = None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(
                nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout)
            )

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, width=4, classes=5):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Block(width, width), Block(width, width))
        self.layer2 = nn.Sequential(Block(width, 2 * width, 2), Block(2 * width, 2 * width))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(2 * width, classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer2(self.layer1(x))
        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        return self.fc(x)


class UNet(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.enc1 = self.pair(2, width)
        self.enc2 = self.pair(width, 2 * width)
        self.mid = self.pair(2 * width, 2 * width)
        self.up2 = nn.ConvTranspose2d(2 * width, 2 * width, 2, 2)
        self.dec2 = self.pair(4 * width, width)
        self.up1 = nn.ConvTranspose2d(width, width, 3, 2, 1, output_padding=1)
        self.dec1 = self.pair(2 * width, width)
        self.out = nn.Conv2d(width, 1, 1)

    def pair(self, cin, cout):
        return nn.Sequential(
            nn.Conv2d(cin, cout, 3, padding=1),
            nn.BatchNorm2d(cout),
            nn.LeakyReLU(0.1),
            nn.Conv2d(cout, cout, 3, padding="same"),
            nn.ELU(),
        )

    def forward(self, x):
        one = self.enc1(x)
        two = self.enc2(F.max_pool2d(one, 2))
        mid = self.mid(F.avg_pool2d(two, 2))
        y = self.dec2(torch.cat([self.up2(mid), two], dim=1))
        y = self.dec1(torch.cat((self.up1(y), one), 1))
        return torch.sigmoid(self.out(y)), mid


class Mixer(nn.Module):
    """MLP-Mixer: patches by a convolution, mixing along tokens and along channels."""

    def __init__(self, tokens=16, channels=6):
        super().__init__()
        self.patches = nn.Conv2d(3, channels, 2, 2)
        self.norm1 = nn.LayerNorm(channels)
        self.along_tokens = nn.Sequential(nn.Linear(tokens, 8), nn.GELU(), nn.Linear(8, tokens))
        self.norm2 = nn.LayerNorm(channels)
        self.along_channels = nn.Sequential(nn.Linear(channels, 8), nn.GELU(), nn.Dropout(0.0))
        self.back = nn.Linear(8, channels)
        self.head = nn.Linear(channels, 4)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        y = self.along_tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        x = x + y
        x = x + self.back(self.along_channels(self.norm2(x)))
        return self.head(x.mean(dim=1))


class LeNet(nn.Module):
    """Convolutions, then the image as one vector."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 5)
        self.conv2 = nn.Conv2d(4, 6, 3)
        self.fc1 = nn.Linear(6 * 2 * 2, 10)
        self.bn = nn.BatchNorm1d(10)
        self.fc2 = nn.Linear(10, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(torch.tanh(self.conv2(x)), (2, 2))
        x = x.view(x.size(0), -1)
        x = F.relu(self.bn(self.fc1(x)), inplace=True)
        x = F.dropout(x, 0.0, training=self.training)
        return F.log_softmax(self.fc2(x), dim=-1)


class Circular(nn.Module):
    """Circular convolutions and a mean: invariant to translations."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular")
        self.bn = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 3, 5, padding=2, padding_mode="circular")

    def forward(self, x):
        x = F.silu(self.bn(self.conv1(x)))
        return self.conv2(x).mean([2, 3])


class SmallTransformer(nn.Module):
    """A language model with causal attention, as users write it around torch's attention."""

    def __init__(self, symbols=7, channels=8):
        super().__init__()
        self.embed = nn.Embedding(symbols, channels)
        self.norm1 = nn.LayerNorm(channels)
        self.attn = nn.MultiheadAttention(channels, 2, batch_first=True)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 16), nn.GELU(), nn.Linear(16, channels))
        self.encoder = nn.TransformerEncoderLayer(channels, 2, 12, 0.0, batch_first=True)
        self.head = nn.Linear(channels, symbols)

    def forward(self, ids):
        x = self.embed(ids)
        length = ids.shape[1]
        mask = torch.triu(torch.ones(length, length, dtype=torch.bool), 1)
        h = self.norm1(x)
        y, _ = self.attn(h, h, h, attn_mask=mask, need_weights=False)
        x = x + y
        x = x + self.mlp(self.norm2(x))
        return self.head(self.encoder(x))


class Squeeze(nn.Module):
    """Squeeze and excitation, a gate of one channel, and a recurrent row of columns."""

    def __init__(self, channels=4):
        super().__init__()
        self.conv = nn.Conv2d(2, channels, 3, padding=1)
        self.down = nn.Linear(channels, 2)
        self.up = nn.Linear(2, channels)
        self.gate = nn.Conv2d(channels, 1, 1)
        self.rnn = nn.GRU(channels, 5, batch_first=True, bidirectional=True)

    def forward(self, x):
        x = self.conv(x)
        b, c, _, _ = x.shape
        s = F.adaptive_avg_pool2d(x, 1).view(b, c)
        s = torch.sigmoid(self.up(F.relu(self.down(s)))).view(b, c, 1, 1)
        x = x * s
        x = x * torch.sigmoid(self.gate(x))
        rows = x.mean(dim=(2, 3)).unsqueeze(1) * 0.5 + x.flatten(2).permute(0, 2, 1)
        return self.rnn(rows)[0]


class Unknown(nn.Module):
    """Parts without a twin: a sort, a part whose way depends on values, a parameter by itself."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)
        self.branch = Branch()
        self.scale = nn.Parameter(torch.randn(1, 1, 1, 1))
        self.after = nn.Conv2d(1, 2, 1)

    def forward(self, x):
        x = self.shuffle(self.conv(x)) * self.scale
        x = self.branch(x)
        return self.after(x).sort(dim=-1)[0]


class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(8, 8)

    def forward(self, x):
        if x.sum() > 0:
            return self.lin(x)
        return -self.lin(x)


class Positions(nn.Module):
    """A vision transformer's positions as a parameter, a language model's as an embedding."""

    def __init__(self, channels=6):
        super().__init__()
        self.patches = nn.Conv2d(1, channels, 2, 2)
        self.pos = nn.Parameter(torch.randn(1, 9, channels))
        self.table = nn.Embedding(12, channels)
        self.block = nn.TransformerEncoderLayer(channels, 2, 8, 0.0, batch_first=True)
        self.head = nn.Linear(channels, 3)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = x + self.pos[:, : x.shape[1]]
        x = self.table(torch.arange(x.shape[1], device=x.device)) + x
        x = self.block(x)
        return self.head(x[:, -1]), self.head(x)[:, 0]


class Functional(nn.Module):
    """Functions with parameters of one's own, other norms, upsampling, the last state."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 1, 3, 3))
        self.shift = nn.Parameter(torch.randn(4))
        self.group = nn.GroupNorm(2, 4)
        self.instance = nn.InstanceNorm2d(4, affine=True, track_running_stats=True)
        self.up = nn.Upsample(scale_factor=2)
        self.back = nn.Parameter(torch.randn(4, 3, 2, 2))
        self.register_buffer("mean", torch.randn(3))
        self.register_buffer("var", torch.rand(3) + 0.5)
        self.gain = nn.Parameter(torch.randn(3))
        self.zero = nn.Parameter(torch.zeros(3))
        self.rnn = nn.LSTM(3, 4, batch_first=True)
        self.weight = nn.Parameter(torch.randn(5, 4))
        self.mix = nn.Parameter(torch.randn(5, 2))

    def forward(self, x):
        x = F.conv2d(x, self.kernel, self.shift, padding=1)
        x = self.instance(F.relu6(self.group(x)))
        x = F.interpolate(self.up(x), scale_factor=(1, 2), mode="nearest")
        x = F.conv_transpose2d(x, self.back, stride=2)
        stats = (self.mean, self.var, self.gain, self.zero)
        x = F.batch_norm(x, *stats, training=self.training)
        y, _ = self.rnn(x.flatten(2).transpose(1, 2))
        return F.linear(y[:, -1], self.weight) @ self.mix


class ByShape(nn.Module):
    """A forward that asks for shapes as it goes, which torch.fx cannot follow."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.conv = nn.Conv1d(4, 4, 3, padding=1)
        self.bn = nn.BatchNorm1d(4)
        self.norm = nn.LayerNorm(4)
        self.lin = nn.Linear(4, 3)

    def forward(self, ids):
        x = self.embed(ids)
        if x.dim() != 3 or x.shape[-1] != 4:
            raise ValueError("sequences of four channels")
        for _ in range(x.shape[-1] // 2):
            y = F.relu(self.bn(self.conv(x.transpose(1, 2))))
            x = self.norm(x + F.dropout(y.transpose(1, 2), 0.0, self.training))
        return self.lin(x.mean(dim=1))

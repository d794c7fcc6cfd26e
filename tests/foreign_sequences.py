"""Networks on sequences and patches as people write them: for imports of whole models."""

import math

import torch
import torch.nn.functional as F
from torch import nn


class CausalSelfAttention(nn.Module):
    """As in nanoGPT, by torch's function or written out."""

    def __init__(self, channels, heads, length, flash):
        super().__init__()
        self.c_attn = nn.Linear(channels, 3 * channels)
        self.c_proj = nn.Linear(channels, channels)
        self.attn_dropout = nn.Dropout(0.0)
        self.heads, self.channels, self.dropout, self.flash = heads, channels, 0.0, flash
        if not flash:
            ones = torch.ones(length, length)
            self.register_buffer("bias", torch.tril(ones).view(1, 1, length, length))

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split(self.channels, dim=2)
        k = k.view(B, T, self.heads, C // self.heads).transpose(1, 2)
        q = q.view(B, T, self.heads, C // self.heads).transpose(1, 2)
        v = v.view(B, T, self.heads, C // self.heads).transpose(1, 2)
        if self.flash:
            p = self.dropout if self.training else 0
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True)
        else:
            scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            scores = scores.masked_fill(self.bias[:, :, :T, :T] == 0, float("-inf"))
            weights = self.attn_dropout(F.softmax(scores, dim=-1))
            y = weights @ v
        y = y.transpose(1, 2).contiguous().view(B, T, C)
        return self.c_proj(y)


class LayerNorm(nn.Module):
    """A layer norm whose bias is optional."""

    def __init__(self, channels, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class Block(nn.Module):
    def __init__(self, channels, heads, length, flash):
        super().__init__()
        self.ln_1 = LayerNorm(channels, True)
        self.attn = CausalSelfAttention(channels, heads, length, flash)
        self.ln_2 = LayerNorm(channels, False)
        self.mlp = nn.Sequential(
            nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels)
        )

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """The embedding's weights are the head's."""

    def __init__(self, flash=True):
        super().__init__()
        self.block_size = 8
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(11, 8),
                "wpe": nn.Embedding(8, 8),
                "drop": nn.Dropout(0.0),
                "h": nn.ModuleList([Block(8, 2, 8, flash) for _ in range(2)]),
                "ln_f": LayerNorm(8, True),
            }
        )
        self.lm_head = nn.Linear(8, 11, bias=False)
        self.transformer.wte.weight = self.lm_head.weight

    def forward(self, idx, targets=None):
        _, t = idx.size()
        assert t <= self.block_size, f"a sequence of {t}"
        pos = torch.arange(0, t, dtype=torch.long, device=idx.device)
        x = self.transformer.drop(self.transformer.wte(idx) + self.transformer.wpe(pos))
        for block in self.transformer.h:
            x = block(x)
        logits = self.lm_head(self.transformer.ln_f(x))
        loss = None
        if targets is not None:
            loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
        return logits, loss


class PatchAttention(nn.Module):
    """As in timm."""

    def __init__(self, channels, heads):
        super().__init__()
        self.heads, self.scale = heads, (channels // heads) ** -0.5
        self.qkv = nn.Linear(channels, channels * 3)
        self.proj = nn.Linear(channels, channels)
        self.attn_drop = nn.Dropout(0.0)

    def forward(self, x):
        B, N, C = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        q = q * self.scale
        weights = (q @ k.transpose(-2, -1)).softmax(dim=-1)
        x = self.attn_drop(weights) @ v
        return self.proj(x.transpose(1, 2).reshape(B, N, C))


class PatchBlock(nn.Module):
    def __init__(self, channels, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = PatchAttention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels)
        )

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """With a token for the class, or with the mean of all patches."""

    def __init__(self, token=True):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, 8, kernel_size=4, stride=4)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 8)) if token else None
        self.pos_embed = nn.Parameter(torch.randn(1, 4 + token, 8) * 0.02)
        self.blocks = nn.Sequential(*[PatchBlock(8, 2) for _ in range(2)])
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        B = x.shape[0]
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        if self.cls_token is not None:
            cls = self.cls_token.expand(B, -1, -1)
            x = torch.cat((cls, x), dim=1)
        x = self.norm(self.blocks(x + self.pos_embed))
        if self.cls_token is not None:
            return self.head(x[:, 0])
        return self.head(x.mean(dim=1))


class LSTMClassifier(nn.Module):
    """Reads the last output, or the last states of both directions."""

    def __init__(self, of_states=False):
        super().__init__()
        self.of_states = of_states
        self.embedding = nn.Embedding(11, 6, padding_idx=0)
        self.lstm = nn.LSTM(6, 5, num_layers=2, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(10, 3)

    def forward(self, ids):
        x = self.embedding(ids)
        if not self.of_states:
            h0 = torch.zeros(4, x.size(0), 5, dtype=x.dtype, device=x.device)
            c0 = torch.zeros(4, x.size(0), 5, dtype=x.dtype, device=x.device)
            out, _ = self.lstm(x, (h0, c0))
            return self.fc(out[:, -1, :])
        _, (hidden, _) = self.lstm(x)
        return self.fc(torch.cat((hidden[-2], hidden[-1]), dim=1))


class Seq2Seq(nn.Module):
    """The decoder begins where the encoder ended."""

    def __init__(self):
        super().__init__()
        self.source = nn.Embedding(11, 6)
        self.target = nn.Embedding(9, 6)
        self.encoder = nn.GRU(6, 5, batch_first=True)
        self.decoder = nn.GRU(6, 5, batch_first=True)
        self.out = nn.Linear(5, 9)

    def forward(self, source, target):
        _, hidden = self.encoder(self.source(source))
        out, _ = self.decoder(self.target(target), hidden)
        return self.out(out)


class PositionalEncoding(nn.Module):
    """As in torch's tutorial: sinusoids in a buffer, time first."""

    def __init__(self, channels, length=20):
        super().__init__()
        place = torch.arange(length).unsqueeze(1)
        rate = torch.exp(torch.arange(0, channels, 2) * (-math.log(10000.0) / channels))
        pe = torch.zeros(length, 1, channels)
        pe[:, 0, 0::2] = torch.sin(place * rate)
        pe[:, 0, 1::2] = torch.cos(place * rate)
        self.register_buffer("pe", pe)
        self.dropout = nn.Dropout(0.0)

    def forward(self, x):
        x = x + self.pe[: x.size(0)]
        return self.dropout(x)


class EncoderClassifier(nn.Module):
    """As in torch's tutorial: a causal mask, made of the length."""

    def __init__(self, masked=True):
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.pos_encoder = PositionalEncoding(8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.linear = nn.Linear(8, 3)
        self.masked = masked

    def forward(self, ids):
        x = self.pos_encoder(self.embedding(ids) * math.sqrt(8))
        mask = None
        if self.masked:
            mask = nn.Transformer.generate_square_subsequent_mask(len(ids))
        return self.linear(self.encoder(x, mask).mean(0))

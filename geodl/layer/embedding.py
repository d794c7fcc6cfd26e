"""Tokens as vectors."""

from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.domain.check import values_of_all_samples
from geodl.errors import GeodlError, positive
from geodl.layer.base import Layer
from geodl.layer.check import check_no_sender
from geodl.signal import Signal


class Embedding(Layer):
    """`y_i = weight[x_i]`: a vector for each token, on any domain; one-hot vectors times `weight`,
    without writing them out.

    Args:
        num: how many tokens there are.
        channels: C.
        padding: a token whose vector gets no gradient, as `nn.Embedding(padding_idx=)`.

    The parameter `weight` `[num, C]` is called and drawn as in `nn.Embedding`. An output head with
    the same weights (Press and Wolf, "Using the Output Embedding to Improve Language Models", 2017)
    is a linear layer that holds this parameter:

    >>> embedding, head = Embedding(65, 8), nn.Linear(8, 65, bias=False)
    >>> head.weight = embedding.weight
    >>> head(embedding(Signal.tokens(torch.tensor([[1, 64, 0]]))).x).shape
    torch.Size([1, 3, 65])

    Raises:
        GeodlError: if the values are not tokens, or an id is out of range (in compiled code the
            kernel's own check is left).
    """

    nodewise = True
    transparent = True

    def __init__(self, num: int, channels: int, *, padding: int | None = None):
        super().__init__()
        asked = f"Embedding({num!r}, {channels!r})"
        num = positive(asked, num)
        channels = positive(asked, channels)
        self.channels_in, self.num, self.channels = 1, num, channels
        if padding is not None and not (type(padding) is int and 0 <= padding < num):
            do = f"give a token in 0..{num - 1}"
            raise GeodlError(f"Embedding(padding={padding!r})", do=do)
        self.padding = padding
        self.weight = nn.Parameter(torch.empty(num, channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the vectors as `nn.Embedding` does: normal, of deviation 1, zeros for padding."""
        nn.init.normal_(self.weight)
        if self.padding is not None:
            with torch.no_grad():
                self.weight[self.padding].fill_(0)

    @classmethod
    def from_weight(cls, weight: Tensor) -> Self:
        """A copy of vectors `[num, C]` that were trained before; `requires_grad_(False)` freezes
        them.

        >>> frozen = Embedding.from_weight(torch.eye(3)).requires_grad_(False)
        >>> frozen(Signal.tokens(torch.tensor([[2]]))).x.tolist()
        [[[0.0, 0.0, 1.0]]]
        """
        if not isinstance(weight, Tensor) or weight.dim() != 2 or not weight.is_floating_point():
            found = f"a {type(weight).__name__}"
            if isinstance(weight, Tensor):
                found = f"{weight.dtype} of shape {list(weight.shape)}"
            asked = "Embedding.from_weight(weight)"
            raise GeodlError(asked, found, "give floating-point vectors [num, C]")
        made = cls(*weight.shape)
        made.weight = nn.Parameter(weight.detach().clone())
        return made

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The vectors `[B, N, C]` of a signal of tokens `[B, N, 1]`, as `Signal.tokens` makes
        them.
        """
        check_no_sender(self, sender)
        ids = self._ids(receiver)
        return receiver.with_x(F.embedding(ids, self.weight, self.padding))

    def _ids(self, signal: Any) -> Tensor:
        if not isinstance(signal, Signal):
            found = f"a {type(signal).__name__}"
            raise GeodlError(f"{self.label} called", found, "give a Signal, as Signal.tokens(ids)")
        x = signal.x
        found = do = ""
        if x.dtype != torch.long:
            found = f"{x.shape[-1]} channels of {x.dtype}"
            do = "give tokens, one channel of torch.long: Signal.tokens(ids)"
        elif x.device != self.weight.device:
            found = f"tokens on {x.device} and vectors on {self.weight.device}"
            do = "move both to one device"
        elif x.numel() and not x.is_meta and not torch.compiler.is_compiling():
            # The kernel's own check does not name the ids; on a GPU it ends the process.
            low, high = map(int, values_of_all_samples(x).aminmax())
            if low < 0 or high >= self.num:
                found = f"ids from {low} to {high}"
                do = f"ids lie in 0..{self.num - 1}: one row for each token"
        if found:
            raise GeodlError(f"{self.label} on {signal.domain}", found, do)
        return x[..., 0]

    def extra_repr(self) -> str:
        if self.padding is None:
            return f"{self.num}, {self.channels}"
        return f"{self.num}, {self.channels}, padding={self.padding}"

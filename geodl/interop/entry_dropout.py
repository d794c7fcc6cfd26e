"""Stochastic depth: dropout of whole samples of a batch."""

from typing import Any

from geodl.interop.converters import converts
from geodl.interop.whole.layout import BATCH
from geodl.interop.whole.values import Call, Value
from geodl.layer import Layer
from geodl.layer.check import check_no_sender, check_signal
from geodl.signal import Signal


class EntryDropout(Layer):
    """Stochastic depth: in training each sample of a batch, or the whole batch at once, is set to
    zero with probability p and otherwise divided by 1 - p.

    Args:
        p: the probability.
        together: whether all samples are kept or dropped together.

    Source: Huang et al., "Deep Networks with Stochastic Depth", 2016.

    >>> import torch
    >>> EntryDropout(0.5).eval()(Signal.sequence(torch.ones(1, 1, 1))).x.item()
    1.0
    """

    transparent = True

    def __init__(self, p: float, *, together: bool = False):
        super().__init__()
        self.p = p
        self.together = together

    @property
    def nodewise(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """In evaluation it changes nothing."""
        return not self.training

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The signal, with some of its samples set to zero in training."""
        check_no_sender(self, sender)
        signal = check_signal(self, receiver)
        if not self.training:
            return signal
        x = signal.x
        count = 1 if self.together else x.shape[0]
        # The numbers that torchvision's function draws, in its order.
        kept = x.new_empty(count, 1, 1).bernoulli_(1 - self.p)
        if self.p < 1:
            kept = kept.div_(1 - self.p)
        return signal.with_x(x * kept)

    def extra_repr(self) -> str:
        return f"p={self.p:g}, together={self.together}"


@converts("torchvision.stochastic_depth", traced=True, modes=True)
def convert_stochastic_depth(build: Any, call: Call) -> Any:
    """`torchvision.ops.stochastic_depth(x, p, mode, training)`."""
    names = ("input", "p", "mode", "training")
    value, p, mode, training = call.given(*names, training=True)
    learnt = call.while_training().given(*names, training=True)
    if not isinstance(value, Value) or value.layout is None or learnt[1:3] != [p, mode]:
        return None
    if training is not False and p > 0:
        # It would drop in evaluation, too.
        return None
    if learnt[3] is not True or p == 0:
        return value
    if value.kept.dims[0] != (BATCH,):
        return None
    return build.apply(call.name, EntryDropout(p, together=mode == "batch"), value, call.example)

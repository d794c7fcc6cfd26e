"""Attention that a model writes out: `softmax(q k^T / sqrt(D)) v`, or torch's function of these.

Scores of pairs of nodes are no signal. While a model is imported they are kept as what was done to
them, and become a layer when they meet the values; a score that is read otherwise stays as it is.
"""

import math
import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.interop.activation import dropped_share
from geodl.interop.converters import converts
from geodl.interop.mask_rules import HIDDEN, rule_of_mask
from geodl.interop.whole.channel_order import in_order
from geodl.interop.whole.layout import Atom, Axis, Layout
from geodl.interop.whole.on_tensors import Narrow
from geodl.interop.whole.values import Call, Scores, Value
from geodl.layer import Pointwise
from geodl.layer.base import MessagePassing
from geodl.layer.folding import GraphState, MergedMembers
from geodl.lowering import AttendOptions, Plan
from geodl.neighborhood import Neighborhood, all_pairs, past


class GivenAttention(MessagePassing):
    """Attention without weights of its own: queries, keys and values are channels of the signals.

    `y_i = [sum_j softmax_j(scale q_i . k_j) v_j]_heads`

    Args:
        heads: H.
        head_dim: D of queries and keys.
        value_dim: V of values.
        rule: which nodes each node receives from.
        scale: of the scores.
        dropout: of the weights, while training.
        crosses: whether keys and values are another signal's.

    One signal has `[q, k, v]` side by side, `[B, N, H (2 D + V)]`; where it crosses the receiver
    has q alone, and the sender `[k, v]`. The answer is `[B, M, H V]`.

    >>> from geodl import Chain, Signal
    >>> layer = GivenAttention(2, 3, 3, all_pairs(), 1.0)
    >>> layer(Signal(torch.zeros(1, 4, 18), Chain(4))).x.shape
    torch.Size([1, 4, 6])
    """

    verb = "attend"
    transparent = True

    def __init__(
        self,
        heads: int,
        head_dim: int,
        value_dim: int,
        rule: Neighborhood,
        scale: float,
        *,
        dropout: float = 0.0,
        crosses: bool = False,
    ):
        super().__init__(rule, None, AttendOptions("dot", None))
        self.heads, self.head_dim, self.value_dim = heads, head_dim, value_dim
        self.scale, self.dropout = scale, dropout
        of_keys = heads * (head_dim + value_dim)
        self.channels_in = heads * head_dim
        self.context_channels = of_keys
        if not crosses:
            self.channels_in += of_keys
            self.context_channels = self.channels_in

    def _run(
        self,
        plan: Plan,
        receiver: Tensor,
        sender: Tensor,
        parts: MergedMembers,
        state: GraphState,
    ) -> Tensor:
        rows = self.heads * self.head_dim
        start = self.context_channels - self.heads * (self.head_dim + self.value_dim)
        query = _by_head(receiver[..., :rows], self.heads)
        key = _by_head(sender[..., start : start + rows], self.heads)
        value = _by_head(sender[..., start + rows :], self.heads)
        # The kernel divides by sqrt(D) itself.
        factor = self.scale * math.sqrt(self.head_dim)
        if abs(factor - 1) > 1e-12:
            query = query * factor
        dropout = self.dropout if self.training else 0.0
        y = plan.run(query, key, value, None, None, dropout, None)
        return y.reshape(*y.shape[:2], self.heads * self.value_dim)

    def extra_repr(self) -> str:
        return f"{self.channels_in}, {self.rule}, heads={self.heads}"


def _by_head(x: Tensor, heads: int) -> Tensor:
    """`[B, N, H D]` as `[B, N, H, D]`."""
    return x.unflatten(-1, (heads, -1))


@converts(F.scaled_dot_product_attention, traced=True, modes=True)
def convert_attention_function(build: Any, call: Call) -> Any:
    """`F.scaled_dot_product_attention(q, k, v)`, causal or not."""
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")
    defaults = {"attn_mask": None, "dropout_p": 0.0, "is_causal": False, "scale": None}
    given = call.given(*names, **defaults, enable_gqa=False)
    query, key, value, mask, drops, causal, scale, grouped = given
    if grouped or not all(isinstance(one, Value) for one in (query, key, value)):
        return None
    learnt = call.while_training().given(*names, **defaults, enable_gqa=False)
    dropout = learnt[4]
    if drops != 0 or learnt[5:] != given[5:] or not isinstance(dropout, int | float):
        # Weights that are dropped in evaluation, too.
        return None
    rule = rule_of_mask(build, mask, hidden_is=False)
    if rule is None or not isinstance(causal, bool):
        return None
    if causal:
        rule = past()
    if scale is None:
        scale = 1 / math.sqrt(query.tensor.shape[-1])
    scores = Scores(query, key, float(scale), rule, float(dropout))
    return _attended(build, call, scores, value)


@converts(torch.matmul, operator.matmul, Tensor.matmul, torch.bmm, Tensor.bmm, scores=True)
def convert_scores(build: Any, call: Call) -> Any:
    """`q @ k.transpose(-2, -1)`, and `weights @ v`."""
    if call.kwargs or len(call.args) != 2:
        return None
    one, other = call.args
    if isinstance(one, Scores) and isinstance(other, Value):
        if not one.normalised:
            return None
        return _attended(build, call, one, other)
    if not isinstance(one, Value) or not isinstance(other, Value):
        return None
    if one.layout is None or other.layout is None or one.tensor.dim() != other.tensor.dim():
        return None
    if one.tensor.dim() < 3:
        return None
    turned = other.read_as(_turned(other.kept), other.tensor.transpose(-2, -1))
    if _heads_of(one) is None or _heads_of(turned) is None:
        return None
    return Scores(one, turned, 1.0, all_pairs(), 0.0, calls=[call])


@converts(
    *(operator.mul, torch.mul, Tensor.mul, operator.imul, Tensor.mul_),
    *(operator.truediv, torch.div, Tensor.div, operator.itruediv, Tensor.div_),
    scores=True,
)
def convert_scaled(build: Any, call: Call) -> Any:
    """Scores times a number, or divided by one."""
    scores, number = _with_number(call)
    if scores is None or scores.normalised or scores.rule != all_pairs():
        return None
    name = getattr(call.function, "__name__", str(call.function))
    if "div" in name:
        if call.args[0] is not scores or number == 0:
            return None
        number = 1 / number
    return scores.after(call, scale=scores.scale * number)


def _with_number(call: Call) -> tuple[Any, Any]:
    if call.kwargs or len(call.args) != 2:
        return None, None
    numbers = [one for one in call.args if type(one) in (int, float)]
    scores = [one for one in call.args if isinstance(one, Scores)]
    if len(numbers) != 1 or len(scores) != 1:
        return None, None
    return scores[0], numbers[0]


@converts(Tensor.masked_fill, torch.masked_fill, Tensor.masked_fill_, scores=True)
def convert_hidden(build: Any, call: Call) -> Any:
    """`scores.masked_fill(later, -inf)`."""
    scores, mask, value = call.given("input", "mask", "value")
    hides = isinstance(value, int | float) and value <= HIDDEN
    if not isinstance(scores, Scores) or scores.normalised or not hides:
        return None
    return _hidden(build, call, scores, mask)


@converts(operator.add, torch.add, Tensor.add, operator.iadd, scores=True)
def convert_masked(build: Any, call: Call) -> Any:
    """`scores + mask`, which is minus infinity where a node comes later."""
    if call.kwargs or len(call.args) != 2:
        return None
    scores, mask = call.args
    if not isinstance(scores, Scores) or scores.normalised:
        return None
    return _hidden(build, call, scores, mask)


def _hidden(build: Any, call: Call, scores: Scores, mask: Any) -> Scores | None:
    """Scores of the pairs that a mask leaves; of two masks none is known."""
    rule = None
    if mask is not None and scores.rule == all_pairs():
        rule = rule_of_mask(build, mask)
    if rule is None:
        return None
    return scores.after(call, rule=rule)


@converts(F.softmax, torch.softmax, Tensor.softmax, nn.Softmax, scores=True)
def convert_normalised(build: Any, call: Call) -> Any:
    """A softmax over the senders, which are on the last axis."""
    scores = call.args[0]
    dim = getattr(call.module, "dim", None)
    if call.module is None:
        names = ("input", "dim", "_stacklevel", "dtype")
        _, dim, _, dtype = call.given(*names, dim=None, _stacklevel=3, dtype=None)
        if dtype is not None and dtype != call.example.dtype:
            return None
    if not isinstance(scores, Scores) or scores.normalised:
        return None
    if dim not in (-1, call.example.dim() - 1):
        return None
    return scores.after(call, normalised=True)


@converts(nn.Dropout, F.dropout, torch.dropout, scores=True, modes=True)
def convert_dropped(build: Any, call: Call) -> Any:
    """Dropout of the weights."""
    if call.module is not None:
        scores, p = call.args[0], getattr(call.module, "p", 0.0)
    else:
        scores = call.args[0]
        p = dropped_share(call)
        if p is None:
            return None
    if not isinstance(scores, Scores) or not scores.normalised or scores.dropout or not 0 <= p < 1:
        return None
    return scores.after(call, dropout=float(p))


@converts(Tensor.contiguous, Tensor.float, Tensor.type_as, scores=True)
def convert_as_it_is(build: Any, call: Call) -> Any:
    """What changes no number."""
    scores = call.args[0]
    if not isinstance(scores, Scores) or call.example.dtype != scores.query.tensor.dtype:
        return None
    return scores.after(call)


def _attended(build: Any, call: Call, scores: Scores, value: Value) -> Value | None:
    """The layer of queries, keys and values, which stand side by side as channels."""
    heads = [_heads_of(one) for one in (scores.query, scores.key, value)]
    if any(one is None for one in heads):
        return None
    (count, head_dim), (_, _), (_, value_dim) = heads  # pyright: ignore[reportGeneralTypeIssues] - none is None
    if len({one[0] for one in heads if one is not None}) != 1:
        return None
    query, key, value = (in_order(build, one) for one in (scores.query, scores.key, value))
    domains = [one.on.domain for one in (query, key, value)]
    if domains[1] != domains[2]:
        return None
    # Of different lengths, or of another signal that happens to have as many nodes.
    crosses = domains[0] != domains[1]
    rule = scores.rule
    if rule != all_pairs() and (crosses or rule.refuses(domains[0])):
        return None
    layer = GivenAttention(
        count, head_dim, value_dim, rule, scores.scale, dropout=scores.dropout, crosses=crosses
    )
    made = _joined(query.kept, value_dim)
    if crosses:
        sender = _side_by_side(build, call, [key, value])
        return build.apply(call.name, layer, query, call.example, made, sender=sender)
    together = _side_by_side(build, call, [query, key, value])
    return build.apply(call.name, layer, together, call.example, made)


def _turned(layout: Layout) -> Layout:
    *first, one, other = layout.dims
    return Layout((*first, other, one), layout.domain)


def _heads_of(value: Any) -> tuple[int, int] | None:
    """H and D of `[B, H, N, D]`, or of `[B, N, D]` with one head; None of other tensors."""
    if not isinstance(value, Value) or value.layout is None:
        return None
    batch, *heads, nodes, channels = value.kept.dims
    if batch != (Atom("batch"),) or len(heads) > 1 or not _all(channels, "channel"):
        return None
    if not _all(nodes, "node") or not nodes or not channels:
        return None
    if heads and not _all(heads[0], "channel"):
        return None
    count = math.prod(atom.size for axis in heads for atom in axis)
    return count, math.prod(atom.size for atom in channels)


def _all(axis: Axis, kind: str) -> bool:
    return all(atom.kind == kind for atom in axis)


def _joined(layout: Layout, value_dim: int) -> Layout:
    """The layout of the answer, `[B, H, N, V]` or `[B, N, V]`."""
    _, *heads, _, _ = layout.dims
    dims = list(layout.dims)
    dims[-1] = (Atom("channel", 1, value_dim),)
    if heads:
        count = math.prod(atom.size for atom in heads[0])
        dims[1] = (Atom("channel", 0, count),) if heads[0] else ()
    return Layout(tuple(dims), layout.domain)


def _side_by_side(build: Any, call: Call, values: list[Value]) -> Value:
    """The channels of values one after another: where they were cut from one signal in this order
    that signal itself.
    """
    whole = _uncut(build, values)
    if whole is not None:
        return whole
    flat = []
    for value in values:
        channels = Atom("channel", 0, value.on.x.shape[2])
        layout = Layout((value.kept.dims[0], value.kept.dims[-2], (channels,)), value.kept.domain)
        flat.append(value.read_as(layout, layout.to_tensor(value.on)))
    example = torch.cat([value.tensor for value in flat], -1)
    return build.join(f"{call.name}_read", "cat", flat, example)


def _uncut(build: Any, values: list[Value]) -> Value | None:
    """The signal that values are all channels of, in order; None where there is none."""
    stop, read = 0, set()
    for value in values:
        part, *inputs = build.nodes.get(value.name, (None,))
        cut = getattr(part, "module", None)
        if not isinstance(part, Pointwise) or not isinstance(cut, Narrow):
            return None
        if not cut.is_plain or cut.start != stop:
            return None
        stop = cut.stop
        read.update(inputs)
    if len(read) != 1:
        return None
    whole = build.values.get(read.pop())
    if whole is None or whole.on.x.shape[2] != stop:
        return None
    return whole

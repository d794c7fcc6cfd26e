"""Softmax attention by torch's fused kernel, with all its derivatives.

`y = p v`, `p = softmax(s)`, `s = scale q k^T + mask`. The fused kernels never write out the weights
p `[.., M, N]`, and torch has neither their second derivative nor their forward mode. Where these
are asked for, the formulas below write p out.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import CheckpointError

from geodl.errors import GeodlError
from geodl.lowering.differentiable import graph_wanted, transforms_active, watch_backward
from geodl.lowering.precision import without_autocast

FUSED = "ScaledDotProduct"  # how torch names the backward of every fused kernel, on any device


class Inputs(NamedTuple):
    """What the scores are made of.

    Attributes:
        q: queries `[B, H, M, D]`.
        k: keys `[B, H, N, D]`.
        mask: who receives from whom (bool), or what is added to the scores, or None: `[B or 1, H or
            1, M, N]`.
        causal: whether receiver i gets what senders j <= i have, alone.
        scale: the factor of `q . k`.
    """

    q: Tensor
    k: Tensor
    mask: Tensor | None
    causal: bool
    scale: float


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    dropout: float,
    causal: bool,
    scale: float | None = None,
) -> Tensor:
    """Softmax attention `[B, H, M, V]`, differentiable any number of times and under `torch.func`.

    Values may be wider or narrower than queries and keys.

    Args:
        q: queries `[B, H, M, D]`.
        k: keys `[B, H, N, D]`.
        v: values `[B, H, N, V]`.
        mask: as in :class:`Inputs`.
        dropout: the probability of dropping a weight. Second derivatives on a GPU need 0.
        causal: as in :class:`Inputs`.
        scale: as in :class:`Inputs`; None for `1 / sqrt(D)`.
    """
    key, value = q.shape[-1], v.shape[-1]
    if transforms_active():
        p = _weights(Inputs(q, k, mask, causal, scale or key**-0.5))
        return (F.dropout(p, dropout).to(v.dtype) @ v).to(v.dtype)
    if key == value:
        y = F.scaled_dot_product_attention(q, k, v, mask, dropout, causal, scale=scale)
    else:
        # The fused kernels take one width: without them all weights would be written out. Columns
        # of zeros change neither a score nor the other columns of a value.
        widest = max(key, value)
        q, k, v = (F.pad(x, (0, widest - x.shape[-1])) for x in (q, k, v))
        scale = scale or key**-0.5
        y = F.scaled_dot_product_attention(q, k, v, mask, dropout, causal, scale=scale)
        if value < widest:
            y = y[..., :value]
    if y.requires_grad and not torch.compiler.is_compiling():
        watch_backward(y, HOOKS)
    return y


def _before_backward(g: Tensor) -> Tensor | None:
    """Where the backward will be differentiated, put the formula behind the kernel's own.

    Heads of an odd width are padded on a GPU, and values of another width than the keys everywhere:
    where the answer was cut, the kernel is some nodes further. Where torch has used plain
    operations, it can differentiate them itself.
    """
    if not graph_wanted():
        return None
    node: Any = torch._C._current_autograd_node()
    while node.name() == "SliceBackward0":
        node = node.next_functions[0][0]
    if node.name().startswith(FUSED) and FUSED not in node.metadata:
        node.metadata[FUSED] = "watched"
        node.register_hook(_take_over)
    return None


HOOKS = {0: _before_backward}


def _take_over(
    grad_inputs: tuple[Tensor | None, ...], grad_outputs: tuple[Tensor, ...]
) -> tuple[Tensor | None, ...] | None:
    """In place of the kernel's gradients those of the formula, unless the former will do.

    The inputs are read off at the kernel's own node, so that nothing is held twice, and nothing
    longer than the kernel holds it.
    """
    if not graph_wanted():
        return None
    node: Any = torch._C._current_autograd_node()
    if node._saved_dropout_p > 0:
        raise GeodlError(
            "a second derivative of attention with dropout",
            "a kernel that does not say which weights it dropped",
            "set dropout=0, call eval(), or use lowering='edges'",
        )
    try:
        q, k, v = node._saved_query, node._saved_key, node._saved_value
    except CheckpointError as error:  # what is computed anew is handed out once, to the kernel
        raise GeodlError(
            "a second derivative of attention under torch.utils.checkpoint",
            "a kernel whose inputs were computed anew for it alone",
            "leave this layer out of the checkpoint, or use lowering='edges'",
        ) from error
    mask = getattr(node, "_saved_attn_mask", getattr(node, "_saved_attn_bias", None))
    scale = node._saved_scale
    if scale is None:
        scale = q.shape[-1] ** -0.5
    inputs = Inputs(q, k, mask, node._saved_is_causal, scale)
    gradients = _gradients(grad_outputs[0], inputs, v)[: len(grad_inputs)]
    for place, theirs in enumerate(grad_inputs):
        if theirs is None:  # an input that needs no gradient, where torch takes none
            gradients[place] = None
    return tuple(gradients)


def _weights(inputs: Inputs) -> Tensor:
    """`p = softmax(scale q k^T + mask)`: `[B, H, M, N]`."""
    q, k, mask, causal, scale = inputs
    s = (q * scale) @ k.mT
    if causal:
        order = torch.ones(s.shape[-2:], dtype=torch.bool, device=s.device).tril()
        s = s.masked_fill(~order, -torch.inf)
    if mask is not None and mask.dtype == torch.bool:
        s = s.masked_fill(~mask, -torch.inf)
    elif mask is not None:
        s = s + mask
    return s.softmax(-1)


def _gradients(g: Tensor, inputs: Inputs, v: Tensor) -> list[Tensor | None]:
    """The gradients of q, k, v and the mask for the upstream gradient g of y, in operations that
    can be differentiated.

    From `y = p v`: `dv = p^T g` and `dp = g v^T`. The softmax of a row has the Jacobian
    `dp_j / ds_l = p_j (1[j = l] - p_l)`, so `ds = p * (dp - sum_j p_j dp_j)`. From
    `s = scale q k^T + mask`: `dq = scale ds k`, `dk = scale ds^T q`, and `dmask` is ds, summed over
    the axes along which the mask was repeated.
    """
    dtype, mask, scale = v.dtype, inputs.mask, inputs.scale
    wide = torch.promote_types(dtype, torch.float32)
    q, k = inputs.q.to(wide), inputs.k.to(wide)
    with without_autocast(v.device):
        p = _weights(inputs._replace(q=q, k=k))
        dv = p.mT @ g.to(wide)
        dp = g.to(wide) @ v.to(wide).mT
        ds = p * (dp - (p * dp).sum(-1, keepdim=True))
        dq = scale * ds @ k
        dk = scale * ds.mT @ q
    dmask = None
    if mask is not None and mask.requires_grad:
        dmask = ds.sum_to_size(mask.shape).to(mask.dtype)
    return [dq.to(dtype), dk.to(dtype), dv.to(dtype), dmask]

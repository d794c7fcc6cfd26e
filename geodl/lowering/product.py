"""Values of many nodes times weights, `x W + b`, by our own kernels where torch's library is slow.

On a CPU torch multiplies matrices by MKL, which takes its newest code only where the processor says
that it is Intel's. On AMD's processors with AVX-512 it runs code of half the width, and takes one
and a half to four times as long as the loops of `geodl/lowering/kernels/rows.py`; on Intel's it is
the faster of the two (measured on an EPYC of the fifth generation and a Xeon of the fourth).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.compiler import numba_missing
from geodl.lowering.differentiable import called_plainly, graph_wanted, transforms_active
from geodl.lowering.kernels import rows
from geodl.lowering.processor import runs_on_wide_amd

# Multiplications, N C C_out, of each thread: from here on a kernel takes less time, all counted.
MANY = 2**22
FEWEST_CHANNELS = 4  # of less MKL is as fast, and with one there is nothing to add up
LARGEST = 2**18  # numbers of W that a core's own cache holds: of larger ones MKL reads each once
# `x^T g` is written for each block of rows: it has to be small beside x and g, and to be made of
# whole vectors, for each shorter one reads all of x once more.
LARGEST_GRADIENT = 2**16
ROWS_FOR_EACH_CHANNEL = 64
VECTOR = 8


def multiply_rows(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x W + b`.

    Args:
        x: `[..., C]`.
        weight: `[C, C_out]`, which may be a transposed view.
        bias: `[C_out]`.

    Returns:
        `[..., C_out]`.

    >>> multiply_rows(torch.ones(1, 4, 3), torch.ones(3, 2), torch.ones(2))[0, 0]
    tensor([4., 4.])
    """
    if is_taken_over(x, weight, bias):
        return RowProduct.apply(x, weight, bias)
    if bias is None:
        return x @ weight
    return F.linear(x, weight.t(), bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x W^T + b`, the arguments those of `F.linear`.

    Args:
        x: `[..., C]`.
        weight: `[C_out, C]`.
        bias: `[C_out]`.

    Returns:
        `[..., C_out]`.

    >>> linear(torch.ones(1, 4, 3), torch.ones(2, 3), torch.ones(2))[0, 0]
    tensor([4., 4.])
    """
    if is_large(x, weight.shape[0]) and fits(x, weight.t(), bias):
        return RowProduct.apply(x, weight.t(), bias)
    return F.linear(x, weight, bias)


def is_taken_over(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    """Whether :func:`multiply_rows` and :func:`linear` leave a product to a kernel.

    Args:
        x: `[..., C]`.
        weight: `[C, C_out]`.
        bias: `[C_out]`.
    """
    # Most products are small, and what decides about them takes part of their time.
    return is_large(x, weight.shape[-1]) and fits(x, weight, bias)


def is_large(x: Tensor, channels_out: int) -> bool:
    """Whether a product of x `[..., C]` has so many multiplications that a kernel takes less time,
    on a processor on which it does.
    """
    # Compilers, which choose for themselves, are not to see the sizes compared.
    if torch.compiler.is_compiling() or not mkl_is_slow():
        return False
    return x.numel() * channels_out >= MANY * torch.get_num_threads()


def mkl_is_slow() -> bool:
    """Whether MKL multiplies by narrower code than this processor has: on Intel's processors, and
    on those that have no AVX-512, its code is as wide as they are.
    """
    return runs_on_wide_amd() and torch.backends.mkl.is_available()


def fits(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    """Whether a product is one for a kernel, whatever its size and the processor; the arguments are
    those of :func:`is_taken_over`.
    """
    if transforms_active() or torch.is_autocast_enabled("cpu") or not _wants_float32():
        return False
    if not all(tensor is None or _is_plain(tensor) for tensor in (x, weight, bias)):
        return False
    channels, channels_out = x.shape[-1], weight.shape[-1]
    # What torch would broadcast or refuse is left to it.
    if weight.shape != (channels, channels_out):
        return False
    if bias is not None and bias.shape != (channels_out,):
        return False
    if min(channels, channels_out) < FEWEST_CHANNELS or channels * channels_out > LARGEST:
        return False
    if not x.is_contiguous():
        return False
    # Of fewer rows than channels the weights are what takes the time.
    return x.numel() >= channels * max(channels, channels_out) and not numba_missing()


def _is_plain(x: Tensor) -> bool:
    """Whether a tensor is dense, of float32 on a CPU, and nothing watches what is done to it."""
    if x.dtype != torch.float32 or x.device.type != "cpu" or x.layout != torch.strided:
        return False
    if type(x) is nn.Parameter:  # as plain as what it holds
        x = x.detach()
    return called_plainly(x)


def _wants_float32() -> bool:
    """Whether the user leaves products as exact as their type."""
    onednn: Any = torch.backends.mkldnn
    if not hasattr(onednn, "matmul"):  # older releases of torch
        return torch.get_float32_matmul_precision() != "medium"
    return onednn.matmul.fp32_precision != "bf16"


class RowProduct(torch.autograd.Function):
    """`x W + b` by a kernel: x `[..., C]`, contiguous, W `[C, C_out]` and b `[C_out]` or None to
    `[..., C_out]`.

    For an upstream gradient g, `dx = g W^T` is a product of the same kind, `dW = x^T g`, and db the
    sum of the rows of g.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        y = rows.multiply(x.detach().view(-1, x.shape[-1]), weight, bias)
        ctx.save_for_backward(*factors_to_keep(x, weight, *ctx.needs_input_grad[:2]))
        # No view, which torch forbids to change in place where a function made it.
        return y.resize_(*x.shape[:-1], weight.shape[1])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (g,), (x, weight) = grad_outputs, ctx.saved_tensors
        by_kernel = called_plainly(g) and not graph_wanted()
        of_rows = g.reshape(-1, g.shape[-1]).contiguous()
        dx, dweight, dbias = None, None, None
        if ctx.needs_input_grad[0]:
            dx = gradient_of_values(of_rows, weight, by_kernel).reshape(*g.shape[:-1], -1)
        if ctx.needs_input_grad[1]:
            dweight = gradient_of_weight(x.view(-1, x.shape[-1]), of_rows, by_kernel)
        if ctx.needs_input_grad[2]:
            dbias = of_rows.sum(0)
        return dx, dweight, dbias


def factors_to_keep(
    x: Tensor, weight: Tensor, x_trains: bool, weight_trains: bool
) -> tuple[Tensor | None, Tensor | None]:
    """The factors of a product that a gradient will read: that of each is the other one's."""
    kept_x, kept_weight = None, None
    if weight_trains:
        kept_x = x
    if x_trains:
        kept_weight = weight
    return kept_x, kept_weight


def gradient_of_values(g: Tensor, weight: Tensor, by_kernel: bool) -> Tensor:
    """`g W^T`: `[N, C_out]` and `[C, C_out]` to `[N, C]`; by a kernel as in
    :func:`gradient_of_weight`.
    """
    if by_kernel:
        return rows.multiply(g, weight.t(), None)
    return g @ weight.t()


def gradient_of_weight(x: Tensor, g: Tensor, by_kernel: bool) -> Tensor:
    """`x^T g`: `[N, C]` and `[N, C_out]` to `[C, C_out]`.

    Args:
        x: the values.
        g: the gradient of their product.
        by_kernel: whether a kernel may run, of which no gradient can be asked.
    """
    size, most = x.shape[1] * g.shape[1], max(x.shape[1], g.shape[1])
    is_small = size <= LARGEST_GRADIENT and len(x) >= ROWS_FOR_EACH_CHANNEL * most
    if by_kernel and is_small and g.shape[1] % VECTOR == 0:
        return rows.multiply_transposed(x, g)
    return x.t() @ g

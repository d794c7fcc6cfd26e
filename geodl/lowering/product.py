"""Values of many nodes times weights, `x W + b`, by the faster of the two libraries that torch has.

On a CPU torch multiplies matrices by MKL and convolves by oneDNN. MKL takes its newest kernels only
where the processor says that it is Intel's; on AMD's processors with AVX-512 it runs code of half
the width, which oneDNN does not. A convolution with a window of one point is a product, though: an
image `[1, C, N, 1]` of N pixels whose channels lie side by side in memory is the matrix `x [N, C]`
as it stands, and

    y_oi = b_o + sum over c of W_co x_ci

is `y = x W + b`, written where the matrix y has its numbers. No number is copied. Of its gradients,
`dx = g W^T` is a product of the same kind, `dW = x^T g` is the convolution's gradient to its
window, and `db` the sum of the rows of g.

oneDNN writes machine code for each number of rows and keeps the last 1,024 programs: that takes a
few tenths of a millisecond and a megabyte each time, which batches of ever new sizes would pay at
each step. So it is given the first rows, as many as a number of four binary digits and zeros says
(of such numbers there are eight between N and 2 N), and MKL the rest, less than a ninth. The answer
stands in one piece all the same: the convolution is one that adds to what is there, zeros or the
bias.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.lowering.differentiable import called_plainly, graph_wanted, transforms_active

# Multiplications, N C C_out, of each thread: from here on oneDNN takes less time, all counted.
MANY = 2**24
FEWEST_CHANNELS = 4  # of less MKL is as fast, and with one there is nothing to add up
# What a convolution by its name alone is told: padding, stride, dilation, groups; that it adds once
# what it computes; that no activation follows.
AS_IT_IS = [0, 0], [1, 1], [1, 1], 1, "add", 1.0, None, [], None
# For its gradient: stride, padding, dilation, whether it is transposed, and how much it adds then;
# groups; that the window's gradient alone is wanted. A window of one point may be spread, which
# says nothing, and torch leaves spread ones to oneDNN, always.
OF_WINDOW = [1, 1], [0, 0], [2, 2], False, [0, 0], 1, [False, True, False]


def mkl_is_slow(processor: Mapping[str, Any]) -> bool:
    """Whether MKL multiplies by narrower code than the processor has, and oneDNN does not.

    It was measured on an EPYC of AMD's: on Intel's processors, and on those that have no AVX-512,
    both libraries run code of one width, and torch's choice stays.

    Args:
        processor: what `torch.cpu.get_capabilities()` says.
    """
    return "AMD" in processor.get("cpu_name", "") and processor.get("avx512_f", False)


def _find_convolution() -> Any:
    """torch's convolution by oneDNN that adds to a tensor; None in a torch without it."""
    if not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()):
        return None
    named = getattr(torch.ops.mkldnn, "_convolution_pointwise_", None)
    return getattr(named, "binary", None)


ADD_CONVOLUTION = _find_convolution()
# Older releases of torch cannot say which processor it is.
ASK_PROCESSOR = getattr(torch.cpu, "get_capabilities", dict)
MKL_IS_SLOW = ADD_CONVOLUTION is not None and mkl_is_slow(ASK_PROCESSOR())


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
    if convolves(x, weight.shape[1], weight, bias):
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
    if convolves(x, weight.shape[0], weight, bias):
        return RowProduct.apply(x, weight.t(), bias)
    return F.linear(x, weight, bias)


def convolves(x: Tensor, channels_out: int, weight: Tensor, bias: Tensor | None = None) -> bool:
    """Whether :func:`multiply_rows` and :func:`linear` leave a product to oneDNN.

    Args:
        x: `[..., C]`.
        channels_out: C_out.
        weight: of any shape.
        bias: `[C_out]`.
    """
    # Compilers, which choose for themselves, are not to see the sizes compared. The size comes
    # next: most products are small, and what decides about them takes part of their time.
    if not MKL_IS_SLOW or torch.compiler.is_compiling():
        return False
    if x.numel() * channels_out < MANY * torch.get_num_threads():
        return False
    return fits(x, channels_out, weight, bias)


def fits(x: Tensor, channels_out: int, weight: Tensor, bias: Tensor | None = None) -> bool:
    """Whether a product is one for oneDNN, whatever its size and the processor; the arguments are
    those of :func:`convolves`.
    """
    if transforms_active() or torch.is_autocast_enabled("cpu") or not _wants_float32():
        return False
    if not all(tensor is None or _is_plain(tensor) for tensor in (x, weight, bias)):
        return False
    channels = x.shape[-1]
    if min(channels, channels_out) < FEWEST_CHANNELS or not x.is_contiguous():
        return False
    # Of fewer rows than channels the weights are what takes the time, and oneDNN copies them.
    return x.numel() >= channels * max(channels, channels_out)


def _is_plain(x: Tensor) -> bool:
    """Whether a tensor is dense, of float32 on a CPU, and nothing watches what is done to it."""
    if x.dtype != torch.float32 or x.device.type != "cpu" or x.layout != torch.strided:
        return False
    if type(x) is nn.Parameter:  # as plain as what it holds
        x = x.detach()
    return called_plainly(x)


def _wants_float32() -> bool:
    """Whether the user leaves oneDNN on, and both kinds of product as exact as their type."""
    if not torch._C._get_mkldnn_enabled():
        return False
    onednn: Any = torch.backends.mkldnn
    if not hasattr(onednn, "matmul"):  # older releases of torch
        return torch.get_float32_matmul_precision() != "medium"
    return "bf16" not in (onednn.matmul.fp32_precision, onednn.conv.fp32_precision)


class RowProduct(torch.autograd.Function):
    """`x W + b` by oneDNN: x `[..., C]`, contiguous, W `[C, C_out]` and b `[C_out]` or None to
    `[..., C_out]`.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        rows = x.detach().view(-1, x.shape[-1])
        y = _product(rows, weight.detach(), bias)
        kept = None
        if ctx.needs_input_grad[1]:
            kept = x
        ctx.save_for_backward(kept, weight)
        # No view, which torch forbids to change in place where a function made it.
        return y.resize_(*x.shape[:-1], weight.shape[1])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (g,), (x, weight) = grad_outputs, ctx.saved_tensors
        dx, dweight, dbias = None, None, None
        if ctx.needs_input_grad[0]:
            dx = multiply_rows(g.contiguous(), weight.t())
        rows = g.reshape(-1, g.shape[-1])
        if ctx.needs_input_grad[1] and (graph_wanted() or not called_plainly(g)):
            dweight = x.view(-1, x.shape[-1]).t() @ rows
        elif ctx.needs_input_grad[1]:
            dweight = _gradient_of_weight(x.view(-1, x.shape[-1]), rows.contiguous(), weight)
        if ctx.needs_input_grad[2]:
            # A convolution adds it up by code that takes as long as `dW` (measured).
            dbias = rows.sum(0)
        return dx, dweight, dbias


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`x W + b`: `[N, C]` to `[N, C_out]`."""
    shape, first = (len(x), weight.shape[1]), rows_of_block(len(x))
    if bias is None:
        y = x.new_zeros(shape)
    else:
        y = bias.detach().expand(shape).clone(memory_format=torch.contiguous_format)
    ADD_CONVOLUTION(_image(y[:first]), _image(x[:first]), _window(weight), None, *AS_IT_IS)
    if first < len(x):
        y[first:].addmm_(x[first:], weight)
    return y


def _gradient_of_weight(x: Tensor, g: Tensor, weight: Tensor) -> Tensor:
    """`x^T g`: `[N, C]` and `[N, C_out]` to `[C, C_out]`."""
    first = rows_of_block(len(x))
    images = _image(g[:first]), _image(x[:first])
    convolution_backward = torch.ops.aten.convolution_backward.default
    made = convolution_backward(*images, _window(weight), None, *OF_WINDOW)[1].flatten(1)
    if first < len(x):
        made.addmm_(g[first:].t(), x[first:])
    return made.t()


def rows_of_block(rows: int) -> int:
    """How many of N rows oneDNN is given: N with four binary digits, the others zeros.

    >>> [rows_of_block(rows) for rows in (15, 17, 100_000)]
    [15, 16, 98304]
    """
    zeros = max(rows.bit_length() - 4, 0)
    return rows >> zeros << zeros


def _image(x: Tensor) -> Tensor:
    """`[N, C]` as an image `[1, C, N, 1]` whose channels lie side by side, a view."""
    return x.view(1, len(x), 1, -1).permute(0, 3, 1, 2)


def _window(weight: Tensor) -> Tensor:
    """`[C, C_out]` as a window of one point, `[C_out, C, 1, 1]`, a view."""
    return weight.t()[:, :, None, None]

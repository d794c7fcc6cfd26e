"""`fft`: windows around lattices that wrap, by the convolution theorem.

A window is a cross-correlation, `y_p = sum over offsets o of h_o x_(p + o)`. With h placed at -o it
is a circular convolution, whose Fourier transform is the product of two: `Y(f) = H(f) X(f)`, a
product of matrices over the channels at each frequency. Its work does not grow with the window, so
that wide ones are worth it; what it costs is the transform of the kernel, spread over the lattice
once for each pair of channels.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from geodl.domain import coordinates, ravel
from geodl.lowering.bank import BankPlan, bank_entries, plan_bank
from geodl.lowering.base import Call, Lowering
from geodl.lowering.precision import without_autocast
from geodl.neighborhood.structure import Stencil
from geodl.spectrum import one_of_zeros

# Places of a window from which the transforms take less time than the convolution, forward and
# backward (measured on a ring of 1,024 nodes, tori of 64 x 64 and of 12 x 12 x 12, a batch of
# four). The kernel's transform grows with both channels, the convolution runs the better the more
# there are: so many places a channel, by the number of axes. From 15 x 15 places on torch's
# convolution has no fast kernel. One by one, all channels have one answer.
PLACES_A_CHANNEL = {1: 2, 2: 13, 3: 13}
LEAST_PLACES, MOST_PLACES = 25, 225
DEPTHWISE_PLACES = 49
MOST_ENTRIES = 2**26  # numbers of the kernel that is spread over the lattice


class FftPlan(NamedTuple):
    """Where the window's weights stand on the lattice, and the views.

    Attributes:
        lattice: its lengths.
        place: `[K]` the lattice point of each place of the window.
        bank: how the window's entries come from the weights.
        depthwise: whether each channel is filtered for itself.
    """

    lattice: tuple[int, ...]
    place: Tensor
    bank: BankPlan
    depthwise: bool


def _refuses(call: Call) -> str:
    stencil, options = call.structure(Stencil), call.options
    if stencil is None:
        return "the rule is no window on a lattice"
    if call.spec.layout != torch.strided:
        return "a transform needs dense values"
    if not all(stencil.circular) or stencil.in_shape != stencil.out_shape:
        return "the window does not go around a lattice that wraps and keep its lengths"
    if set(stencil.stride) != {1}:
        return "the window does not receive at every point"
    sheets = stencil.edge_type.shape[:2]
    depthwise = is_depthwise(call)
    if options.channels_in is None or options.groups > 1:
        if is_fibered(call):
            return "channels of a fiber that are filtered one by one"
        if not depthwise:
            return "weights in blocks of channels"
    places = math.prod(stencil.kernel)
    if depthwise:
        if places < DEPTHWISE_PLACES:
            return f"a convolution of {places} places a channel takes less time"
        return ""
    assert options.channels_in is not None and options.channels_out is not None
    channels = max(options.channels_in * sheets[1], options.channels_out * sheets[0])
    wanted = PLACES_A_CHANNEL[len(stencil.kernel)] * channels
    if places < min(MOST_PLACES, max(LEAST_PLACES, wanted)):
        return f"a convolution of {places} places takes less time than the transform of its kernel"
    entries = math.prod(stencil.in_shape) * options.channels_in * options.channels_out
    if entries * math.prod(sheets) > MOST_ENTRIES:
        return "a kernel spread over the lattice for each pair of channels takes too much memory"
    return ""


def is_fibered(call: Call) -> bool:
    """Whether a group stands over the points of the lattice, on either side."""
    return call.source.fiber is not None or call.target.fiber is not None


def is_depthwise(call: Call) -> bool:
    """Whether each channel is filtered for itself, by weights or by ones."""
    options = call.options
    if is_fibered(call):
        return False
    if options.channels_in is None:
        return True
    return options.groups == options.channels_in == options.channels_out


def _plan(call: Call) -> FftPlan:
    s = call.structure(Stencil)
    assert s is not None
    before = torch.tensor([low for low, _ in s.padding])
    offset = coordinates(s.kernel) * torch.tensor(s.dilation) - before
    # Reversed edges run the other way: from offset o to the point itself, between sheets exchanged.
    if not s.transposed:
        offset = -offset
    place = ravel(offset % torch.tensor(s.in_shape), s.in_shape)
    return FftPlan(
        lattice=s.in_shape,
        place=place.to(call.spec.device),
        bank=plan_bank(s, call.spec, turned=s.transposed),
        depthwise=is_depthwise(call),
    )


def _run(plan: FftPlan, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    if weight is None:
        weight = x.new_ones(plan.bank.types, 1, x.shape[2])
    if x.shape[0] == 0:
        return _run(plan, one_of_zeros(x), weight, bias)[:0]
    batch, channels_out, points = x.shape[0], weight.shape[2], math.prod(plan.lattice)
    wide = torch.promote_types(x.dtype, torch.float32)
    with without_autocast(x.device):
        # Sheets stand beside the channels: node number `point * |G| + sheet`.
        image = x.to(wide).reshape(batch, *plan.lattice, x.shape[1] * x.shape[2] // points)
        kernel = _kernel(plan, weight.to(wide))
        axes = tuple(range(1, len(plan.lattice) + 1))
        sent = torch.fft.rfftn(image, dim=axes)
        response = torch.fft.rfftn(kernel, dim=tuple(axis - 1 for axis in axes))
        product = _mixed
        if plan.depthwise:
            product = torch.mul
        y = product(sent, response)
        y = torch.fft.irfftn(y, s=plan.lattice, dim=axes)
    y = y.reshape(batch, points * plan.bank.sheets[0], channels_out).to(x.dtype)
    if bias is not None:
        y = y + bias
    return y


def _kernel(plan: FftPlan, weight: Tensor) -> Tensor:
    """The weights at their places on the lattice: `[*lattice, R C_in, S C_out]`, or `[*lattice, C]`
    where channels are filtered one by one. A window that goes around more than once adds up.
    """
    points = math.prod(plan.lattice)
    gathered = bank_entries(plan.bank, weight)
    if plan.depthwise:
        spread = weight.new_zeros(points, weight.shape[2])
        return spread.index_add(0, plan.place, gathered[:, 0]).unflatten(0, plan.lattice)
    bank = gathered.unflatten(0, (*plan.bank.sheets, len(plan.place)))
    bank = bank.permute(2, 1, 3, 0, 4)  # [K, R, C_in, S, C_out]
    bank = bank.flatten(3).flatten(1, 2)
    spread = weight.new_zeros(points, *bank.shape[1:])
    return spread.index_add(0, plan.place, bank).unflatten(0, plan.lattice)


def _mixed(x: Tensor, response: Tensor) -> Tensor:
    """`Y(f) = X(f) H(f)` at each frequency: `[B, *F, in]` and `[*F, in, out]` to `[B, *F, out]`."""
    batch, *frequencies, channels = x.shape
    points = math.prod(frequencies)
    rows = x.reshape(batch, points, channels).transpose(0, 1)
    y = torch.bmm(rows, response.reshape(points, channels, response.shape[-1]))
    return y.transpose(0, 1).reshape(batch, *frequencies, response.shape[-1])


convolve = Lowering("fft", _refuses, _plan, _run)

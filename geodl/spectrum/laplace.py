"""The z-transform of sequences: Laplace's transform in discrete time."""

import torch
from torch import Tensor

from geodl.errors import GeodlError
from geodl.signal import Signal


def z_transform(signal: Signal, z: Tensor) -> Tensor:
    """`X(z) = sum_t x_t z^-t` of a sequence, at complex numbers.

    On the unit circle, `z = exp(2 pi i k / n)`, it is the DFT of n nodes. A causal convolution
    multiplies it by the transform of its kernel; the kernel `C A^t B` of a linear recurrence `h_t =
    A h_(t-1) + B x_t, y_t = C h_t` has `C (1 - A / z)^-1 B` (Oppenheim and Schafer,
    "Discrete-Time Signal Processing", chapter 3).

    Args:
        signal: `[B, N, C]` on a domain with an order, as a Chain.
        z: `[Z]` real or complex numbers, none of them 0.

    Returns:
        `[B, Z, C]`, complex, in double precision where the values or z are.

    Raises:
        GeodlError: if it is no Signal of real values, or one on a domain without an order or on
            several; if z is no such tensor.

    >>> from geodl.domain import Chain
    >>> s = Signal(torch.tensor([[[1.0], [0.5], [0.25]]]), Chain(3))
    >>> z_transform(s, torch.tensor([2.0])).real.flatten().tolist()
    [1.3125]
    """
    asked = "z_transform(signal, z)"
    if not isinstance(signal, Signal) or not signal.x.is_floating_point():
        raise GeodlError(asked, "no signal of floating point values", "give a Signal on a Chain")
    if not signal.domain.ordered or signal.domain.is_union:
        found = f"a signal on {signal.domain}, whose nodes have no one order"
        raise GeodlError(asked, found, "give a Signal on a Chain")
    is_number = isinstance(z, Tensor) and (z.is_floating_point() or z.is_complex())
    if not is_number or z.dim() != 1 or (z == 0).any():
        raise GeodlError(asked, "no tensor [Z] of numbers that are not 0", "give such a tensor")
    # In single precision only where both are: nothing is rounded.
    wide = torch.promote_types(torch.promote_types(signal.dtype, z.dtype), torch.complex64)
    time = torch.arange(signal.domain.num_nodes, device=signal.device)
    powers = z.to(signal.device, wide)[:, None] ** -time
    return torch.einsum("zt,btc->bzc", powers, signal.x.to(wide))

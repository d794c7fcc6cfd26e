"""Padded rows of a signal on domains with an order."""

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.domain import Domain
from geodl.errors import GeodlError, positive


def padded_rows(x: Tensor, domain: Domain, fill: float, length: int | None) -> Tensor:
    """Values `[B, N, C]` as rows `[B D, T, C]`, one for each of D members, padded behind.

    Args:
        x: the values.
        domain: where they live.
        fill: the value of the padding.
        length: T; None for that of the longest row.

    Raises:
        GeodlError: as `Signal.to_sequence`.
    """
    asked, do = f"a sequence of a signal on {domain}", "use a dense signal on a Chain"
    if not domain.ordered:
        raise GeodlError(asked, "a domain without one order", do)
    if x.layout != torch.strided:
        raise GeodlError(asked, "sparse values", do)
    if not x.is_floating_point() and not float(fill).is_integer():
        raise GeodlError(asked, f"fill={fill!r} for {x.dtype}", "fill tokens with an integer")
    longest = max(domain.sizes)
    if length is not None:
        length = positive(asked, length)
    if length is not None and length < longest:
        raise GeodlError(asked, f"a row of {longest}", f"give length={longest} at least")
    total = length or longest
    if not domain.is_union and total == longest:
        return x
    if not domain.is_union:
        return F.pad(x, (0, 0, 0, total - longest), value=fill)
    # Row d of the mask holds the tokens of member d: its True entries, read row by row, are the
    # nodes of the union in their order.
    lengths = torch.tensor(domain.sizes, device=x.device)
    exists = torch.arange(total, device=x.device) < lengths[:, None]
    y = x.new_full((x.shape[0], *exists.shape, x.shape[2]), fill)
    y[:, exists] = x
    return y.flatten(0, 1)

"""Where nodes stand."""

import torch
from torch import Tensor

from geodl.domain import Domain
from geodl.errors import GeodlError


def places(domain: Domain) -> Tensor:
    """The place of each node along its chain, `[N]`; in a Batch each member begins at 0."""
    if not domain.ordered:
        raise GeodlError(f"places on {domain}", "no order", "use a Chain, or a Batch of them")
    return torch.cat([torch.arange(m.num_nodes) for m in domain.members or (domain,)])


def rotate(x: Tensor, places: Tensor) -> Tensor:
    """Rotary positions: neighboring channels of x `[B, N, H, D]` turned by `place * 10000^(-2i/D)` (Su et al. 2021)."""
    half = torch.arange(0, x.shape[-1], 2, device=x.device, dtype=torch.float64)
    angle = (places.to(x.device)[:, None] * 10000 ** (-half / x.shape[-1]))[:, None]
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    even, odd = x[..., ::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)

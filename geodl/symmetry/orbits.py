"""Which pairs of nodes a domain's symmetry carries to each other."""

from torch import Tensor

from geodl import group as groups
from geodl.domain import Domain
from geodl.layer.check import check_domain


def orbits(domain: Domain) -> Tensor:
    """Number the orbits of ordered node pairs under the symmetry that a domain vouches for: `[N,
    N]`, labels 0..n-1.

    Raises:
        GeodlError: no domain.

    >>> from geodl import Complete
    >>> orbits(Complete(3)).tolist()
    [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    """
    return groups.orbits(check_domain("orbits(domain)", domain).generators())

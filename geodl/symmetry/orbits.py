"""Which pairs of nodes a domain's symmetry carries to each other."""

from torch import Tensor

from geodl.domain import Domain
from geodl.group import pair_orbits
from geodl.layer.check import check_domain


def orbits(domain: Domain) -> Tensor:
    """Number the orbits of ordered node pairs under a domain's known symmetry: `[N, N]`, receivers
    first, labels 0..n-1.

    Two pairs are in one orbit if a symmetry maps one to the other; an equivariant linear layer has
    one weight for each orbit.

    Raises:
        GeodlError: if it is not a domain.

    >>> from geodl import Complete
    >>> orbits(Complete(3)).tolist()
    [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    """
    return pair_orbits(check_domain("orbits(domain)", domain).generators())

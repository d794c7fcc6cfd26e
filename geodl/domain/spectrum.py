"""Spectra: where the Fourier transform of a signal lives, one node for each mode of a domain."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain.base import SERIALS, Domain, Links, TensorDomain
from geodl.domain.graph import Graph
from geodl.domain.grid import Grid
from geodl.errors import GeodlError, nearest

LAPLACIAN_NORMS = (None, "sym", "rw")


@dataclass(frozen=True, repr=False)
class Spectrum(Domain):
    """The frequencies of a domain: node k stands for mode k, an eigenvector of the domain's
    Laplacian, eigenvalues ascending.

    Signals on it come from :func:`geodl.fourier`, and go back by :func:`geodl.fourier_inverse`.
    They alone may be complex, as those of rings and tori are. Two spectra are equal where their
    domains and norms are.

    Args:
        domain: whose frequencies.
        norm: of the Laplacian: None for `D - A`, "sym" or "rw".

    Raises:
        GeodlError: no domain, the spectrum of a spectrum, an unknown norm.

    >>> Spectrum(Grid(8, periodic=True))
    Spectrum(Grid(8, periodic=True))
    """

    domain: Domain
    norm: str | None = None

    def __post_init__(self):
        asked = f"Spectrum({self.domain!r}, {self.norm!r})"
        if not isinstance(self.domain, Domain):
            found = f"a {type(self.domain).__name__}"
            raise GeodlError(asked, found, "give a domain, as Grid(8, periodic=True)")
        # Modes have no links, so that a Laplacian of theirs would be 0.
        if self.domain.frequencies_of is not None:
            raise GeodlError(asked, "a spectrum, which has no links", "give the domain itself")
        if self.norm not in LAPLACIAN_NORMS:
            names = ["None", *filter(None, LAPLACIAN_NORMS)]
            raise GeodlError(asked, do=nearest(str(self.norm), names))

    def __repr__(self) -> str:
        if self.norm is None:
            return f"Spectrum({self.domain})"
        return f"Spectrum({self.domain}, {self.norm!r})"

    @property
    def num_nodes(self) -> int:
        """As many modes as the domain has nodes."""
        return self.domain.num_nodes

    @property
    def frequencies_of(self) -> Domain:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """The domain."""
        return self.domain

    @property
    def device(self) -> torch.device | None:
        """Where the tensors of the domain are."""
        return self.domain.device

    @property
    def cache(self) -> dict[Any, Any] | None:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """A part of the domain's cache, of this norm's own; None of a domain that is a value."""
        # Spectra are made anew at every call, and all of one norm share what was made for one.
        kept = self.domain.cache
        if kept is None:
            return None
        name = ("spectrum", self.norm)
        if name not in kept:
            kept[name] = {}
        return kept[name]

    @property
    def serial(self) -> int | None:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """A number of its own beside that of the domain: modes are no nodes of the domain."""
        # Kept in the cache: copies of a domain begin with an empty one, and get other numbers.
        kept = self.cache
        if kept is None:
            return None
        if "serial" not in kept:
            kept["serial"] = next(SERIALS)
        return kept["serial"]

    @cached_constants()
    def generators(self) -> Tensor:
        """None: a mode has no symmetric twin that a permutation would lead to."""
        return torch.zeros(0, self.num_nodes, dtype=torch.long)

    @property
    def num_links(self) -> int:
        """None."""
        return 0

    @cached_constants()
    def links(self) -> Links:
        """None: modes do not touch each other."""
        none = torch.zeros(0, dtype=torch.long, device=self.device)
        return Links(none, none)

    def tensors(self) -> tuple[Tensor, ...]:
        """Those of the domain."""
        return self.domain.tensors()

    def with_tensors(self, tensors: tuple[Tensor, ...]) -> Self:
        """The spectrum of the domain over other copies of its tensors."""
        if not isinstance(self.domain, TensorDomain):
            return self
        domain = self.domain.with_tensors(tensors)
        if domain is self.domain:
            return self
        return type(self)(domain, self.norm)

    @classmethod
    def small(cls) -> tuple[Domain, ...]:
        weighted = Graph([[0, 1, 1, 2], [1, 0, 2, 1]], 4, edge_weight=[0.5, 0.5, 2.0, 2.0])
        return cls(Grid(3, 4, periodic=(True, False))), cls(weighted, "sym")

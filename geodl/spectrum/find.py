"""The Fourier transform of a domain, found once: in closed form where there is one, else by an
eigensolver; and the transforms of all members of a union.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from geodl.constants import cached_constants
from geodl.domain import Domain, memo
from geodl.errors import GeodlError
from geodl.spectrum.closed import closed_form
from geodl.spectrum.solver import solved
from geodl.spectrum.transform import Transform, analyse, first_modes, synthesise


def transform_of(domain: Domain, norm: str | None = None, count: int | None = None) -> Transform:
    """The modes of a domain's Laplacian, on the CPU; kept with a domain that owns tensors, a few
    others beside.

    Args:
        domain: no union.
        norm: None for `D - A`, "sym" or "rw".
        count: how many, smallest eigenvalues first; None for all.

    Raises:
        GeodlError: if the weights of the domain come with each call, if there are fewer nodes than
            modes, and as the eigensolver refuses.
    """
    if reason := refuses_spectrum(domain, count):
        do = "use the graph without them, or a filter of polynomials: g.Filter(f, order=20)"
        if domain.runtime_weight is None:
            do = f"ask for at most {domain.num_nodes}"
        raise GeodlError(f"the spectrum of {domain}", reason, do)
    if domain.cache is None:
        return _of_value(domain, norm, count)
    return memo(domain, ("modes", norm, count), lambda: _found(domain, norm, count))


def refuses_spectrum(domain: Domain, count: int | None) -> str:
    """Why a domain that is no union has no spectrum of so many modes; "" where it has one."""
    if domain.runtime_weight is not None:
        return "weights that come with each call, where modes are found once"
    if count is not None and count > domain.num_nodes:
        return f"{count} modes wanted of {domain.num_nodes} nodes"
    return ""


@lru_cache(maxsize=8)
def _of_value(domain: Domain, norm: str | None, count: int | None) -> Transform:
    return _found(domain, norm, count)


@cached_constants()
def _found(domain: Domain, norm: str | None, count: int | None) -> Transform:
    transform = fast_transform(domain, norm)
    if transform is None:
        return solved(domain, norm, count)
    if count is None:
        return transform
    return first_modes(transform, count)


def fast_transform(domain: Domain, norm: str | None) -> Transform | None:
    """The transform of a domain where its structure gives one; None where it must be solved for."""
    if domain.cache is None:
        return _fast_of_value(domain, norm)
    return memo(domain, ("fast", norm), lambda: closed_form(domain, norm))


@lru_cache(maxsize=8)
@cached_constants()
def _fast_of_value(domain: Domain, norm: str | None) -> Transform | None:
    return closed_form(domain, norm)


def on_device(transforms: "MemberTransforms", device: torch.device) -> "MemberTransforms":
    """The transforms with their tensors on a device."""
    return pytree.tree_map_only(Tensor, lambda tensor: tensor.to(device), transforms)


class MemberTransforms(NamedTuple):
    """The transforms of a domain's members.

    Attributes:
        distinct: one for each member; a single one where all of them are equal.
        sizes: nodes of each member that has a transform.
        repeats: how many equal members there are, 1 where they have a transform each.
    """

    distinct: tuple[Transform, ...]
    sizes: tuple[int, ...]
    repeats: int

    @property
    def eigenvalues(self) -> Tensor:
        """Those of all modes, member after member."""
        values = torch.cat([t.eigenvalues for t in self.distinct])
        return values.repeat(self.repeats)


def transforms_of(
    domain: Domain, norm: str | None = None, count: int | None = None
) -> MemberTransforms:
    """The transforms of a domain, or of each member of a union; arguments and errors as in
    :func:`transform_of`.
    """
    one = domain.equal_member
    if one is not None:
        return MemberTransforms(
            (transform_of(one, norm, count),), (one.num_nodes,), domain.num_members
        )
    transforms = tuple(transform_of(part, norm, count) for part in domain.members or ())
    return MemberTransforms(transforms, domain.sizes, 1)


def analyse_members(transforms: MemberTransforms, x: Tensor) -> Tensor:
    """The coefficients of values `[B, N, C]`, member after member."""
    return _each(transforms, x, transforms.sizes, analyse)


def synthesise_members(transforms: MemberTransforms, x: Tensor) -> Tensor:
    """The values of coefficients `[B, K, C]`, member after member; complex where modes are."""
    modes = tuple(len(t.eigenvalues) for t in transforms.distinct)
    return _each(transforms, x, modes, synthesise)


def _each(
    transforms: MemberTransforms,
    x: Tensor,
    sizes: tuple[int, ...],
    transformed: Callable[[Transform, Tensor], Tensor],
) -> Tensor:
    """Every member transformed, equal ones at once."""
    if len(transforms.distinct) == 1:
        batch, channels = x.shape[0], x.shape[2]
        rows = x.reshape(batch * transforms.repeats, sizes[0], channels)
        y = transformed(transforms.distinct[0], rows)
        return y.reshape(batch, transforms.repeats * y.shape[1], channels)
    parts = zip(transforms.distinct, x.split(sizes, dim=1), strict=True)
    return torch.cat([transformed(transform, part) for transform, part in parts], dim=1)

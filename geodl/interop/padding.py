"""The padding of torch's convolutions and of windows: how much, and what stands there."""

from dataclasses import replace
from typing import Any, Literal, get_args

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.neighborhood import Neighborhood
from geodl.neighborhood.window import Window

Pairs = tuple[tuple[int, int], ...]
Mode = Literal["zeros", "circular"]


def check_mode(asked: str, mode: str) -> None:
    """Refuse padding modes that copy values to positions outside of the grid."""
    if mode not in get_args(Mode):
        raise GeodlError(
            asked,
            f"padding_mode={mode!r}, which copies values to positions outside of the grid",
            "use zeros, or circular on a periodic domain",
        )


def padding_of(module: Any) -> Pairs:
    """The padding of a convolution of torch.nn, before and after each axis."""
    if module.padding == "same":
        return centred(module.kernel_size, module.dilation)
    if module.padding == "valid":
        return ((0, 0),) * len(module.kernel_size)
    return tuple((p, p) for p in module.padding)


def centred(size: tuple[int, ...], dilation: tuple[int, ...]) -> Pairs:
    """torch's "same": where the padding is odd, the longer half comes after."""
    reaches = [d * (k - 1) for k, d in zip(size, dilation, strict=True)]
    return tuple((reach // 2, reach - reach // 2) for reach in reaches)


def with_mode(rule: Window, mode: Mode) -> Window:
    """A window that remembers the padding mode of its twin.

    The mode is kept only where there is padding, or where it is circular: a window without padding
    computes the same on every domain.
    """
    padded = any(map(any, rule.padding))
    if mode == "zeros" and not padded:
        return rule
    return replace(rule, boundary=mode)


def mode_of(asked: str, rule: Any, on: Domain | None, *, typed: bool = True) -> Mode:
    """The padding mode of a twin: what the window remembers, else how its domain pads.

    Args:
        asked: the call in words, for the error.
        rule: a window.
        on: the domain of the layer's signals; without one, zeros.
        typed: whether the layer has a weight for each edge type.

    Raises:
        GeodlError: if the window refuses the domain; if the domain wraps on some of the padded axes
            only, for which torch has no mode.
    """
    check_domain(asked, rule, on, typed=typed)
    if rule.boundary is not None:
        return rule.boundary
    wraps = set()
    for member in _members(on):
        axes = zip(member.periodic, rule.padding, strict=True)
        wraps |= {periodic for periodic, pair in axes if any(pair)}
    if len(wraps) > 1:
        raise GeodlError(
            asked, f"{on}, periodic on some axes only", "torch pads all axes in one mode"
        )
    return "circular" if wraps == {True} else "zeros"


def _members(on: Domain | None) -> tuple[Domain, ...]:
    """The members of a union; any other domain is its own only member."""
    if on is None:
        return ()
    return on.members or (on,)


def check_domain(asked: str, rule: Neighborhood, on: Domain | None, *, typed: bool = True) -> None:
    """Refuse a domain that the rule does not fit."""
    for member in _members(on):
        if reason := rule.refuses(member, typed):
            raise GeodlError(f"{asked} with on={on}", reason, "name a domain that fits the window")

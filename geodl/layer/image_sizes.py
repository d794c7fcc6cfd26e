"""The image sizes at which a whole model keeps the symmetry of its group exactly."""

import copy
import itertools
import math
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from geodl.domain import Domain, Grid
from geodl.errors import GeodlError, positive
from geodl.layer.base import MessagePassing
from geodl.layer.check import channels_read
from geodl.layer.modes import check_is_module, evaluated
from geodl.layer.trace import Event, trace
from geodl.neighborhood import Stencil
from geodl.neighborhood.exactness import InexactSize, is_exact, reflected_axes
from geodl.signal import Signal

# How far lengths are tried: as far as the strides multiply to, within these bounds.
LEAST, MOST = 8, 128
SEARCHING: ContextVar[bool] = ContextVar("geodl_searching_sizes", default=False)


def sizes(
    model: nn.Module, near: Sequence[int], *, count: int = 2, periodic: bool = False
) -> tuple[tuple[int, ...], ...]:
    """The image sizes nearest to the given one at which all windows of a model keep the symmetry of
    its group exactly, the nearest first: by the number of nodes that all axes change together.

    A window with stride s, padding p, dilation d and size k keeps a reflection of an axis of n
    nodes if s divides `n + 2 p - d (k - 1) - 1`. The model is run without images, on empty batches,
    at each length that is tried, so that every inner lattice obeys this: also in models with code
    of their own. Lengths are tried as far as the strides of the model multiply to.

    Args:
        model: whose rules name a group.
        near: the size of an image, a length for each axis.
        count: how many sizes.
        periodic: whether the axes wrap.

    Returns:
        Sizes with as many axes as `near`; equal lengths that the group reflects stay equal. Fewer
        than `count`, or none, where fewer of the tried lengths are exact.

    Raises:
        GeodlError: if no rule of the model names a group, or a group on other axes; if a length or
            `count` is not a positive integer.

    >>> from geodl import models
    >>> sizes(models.p4cnn(), near=(27, 27))
    ((28, 28), (30, 30))
    """
    check_is_module(model)
    asked = f"sizes({type(model).__name__}, near={near!r})"
    if isinstance(near, str | int) or not isinstance(near, Sequence) or not 1 <= len(near) <= 3:
        raise GeodlError(asked, f"{near!r}", "give a length for each axis, as near=(28, 28)")
    lengths = tuple(positive(asked, length) for length in near)
    count = positive(asked, count)
    model = getattr(model, "_orig_mod", model)
    return _nearest_sizes(asked, model, Grid(*lengths, periodic=periodic), count)


def _nearest_sizes(
    asked: str, model: nn.Module, domain: Domain, count: int
) -> tuple[tuple[int, ...], ...]:
    lattice = domain.lattice
    assert lattice is not None
    search = _Search(_loosened(model), _reflected(asked, model, len(lattice)), domain)
    # Equal lengths stay equal where the group reflects both axes or neither; others move alone.
    kinds = list(zip(lattice, search.reflected, strict=True))
    distinct = list(dict.fromkeys(kinds))
    choices = []
    for kind in distinct:
        choices.append(search.nearest(kinds.index(kind), kind[0], count))
    found = []
    for lengths in itertools.product(*choices):
        found.append(tuple(lengths[distinct.index(kind)] for kind in kinds))

    def moved(size: tuple[int, ...]) -> int:
        return sum(abs(m - n) for m, n in zip(size, lattice, strict=True))

    return tuple(sorted(found, key=moved)[:count])


def name_image_sizes(error: InexactSize, model: nn.Module, signal: Signal) -> InexactSize:
    """The refusal of a size inside a model, with advice about the image that the model was given
    in place of the lattice inside.
    """
    lattice = signal.domain.lattice
    if SEARCHING.get() or lattice is None:
        return error
    try:
        nearest = _nearest_sizes(error.args[0], model, signal.domain, 2)
    except GeodlError:
        return error
    asked, words, _ = error.args
    named = [" x ".join(map(str, size)) for size in sorted(nearest)]
    advice = f"no size near {' x '.join(map(str, lattice))} is exact"
    if named:
        advice = f"sizes of {' and '.join(named)} of the whole image would be exact"
    return InexactSize(asked, words, f"{advice}; or pass exact=False")


class _Search:
    """Runs a model at lengths of the image, each once.

    Args:
        model: refuses no size for its symmetry.
        reflected: for each axis, whether the group reflects it.
        domain: of which only the lengths are changed.
    """

    def __init__(self, model: nn.Module, reflected: list[bool], domain: Domain):
        self.model = model
        self.reflected = reflected
        self.domain = domain
        self.known: dict[int, tuple[bool, ...]] = {}
        self.strides = 1

    def nearest(self, axis: int, n: int, count: int) -> list[int]:
        """The lengths nearest to n at which an axis is exact."""
        lengths: list[int] = []
        distance = 0
        while len(lengths) < count and distance <= max(LEAST, min(self.strides, MOST)):
            for length in dict.fromkeys((n - distance, n + distance)):
                if length > 0 and self.exact(length)[axis]:
                    lengths.append(length)
            distance += 1
        return lengths[:count]

    def exact(self, n: int) -> tuple[bool, ...]:
        """For each axis whether it is exact on an image of n nodes along each."""
        if n not in self.known:
            self.known[n] = self._run(n)
        return self.known[n]

    def _run(self, n: int) -> tuple[bool, ...]:
        axes = len(self.reflected)
        domain = self.domain.replace((n,) * axes, self.domain.fiber, self.domain.periodic)
        searching = SEARCHING.set(True)
        try:
            with evaluated(self.model), trace(self.model) as events:
                self.model(_nothing_on(self.model, domain))
        except (GeodlError, RuntimeError):
            # The image is too small, two paths that join differ in size, or code outside of geodl
            # takes no empty batches.
            return (False,) * axes
        finally:
            SEARCHING.reset(searching)
        stencils = [stencil for event in events if (stencil := _stencil(event, axes)) is not None]
        strides = [max(stencil.stride) for stencil in stencils]
        self.strides = max(self.strides, math.prod(strides))
        return tuple(
            not reflected or all(_keeps(stencil, axis) for stencil in stencils)
            for axis, reflected in enumerate(self.reflected)
        )


def _stencil(event: Event, axes: int) -> Stencil | None:
    """The window of a call on the lattice; None of any other call."""
    if event.call is None:
        return None
    stencil = event.call.structure(Stencil)
    if stencil is None or len(stencil.in_shape) != axes:
        return None
    return stencil


def _keeps(stencil: Stencil, axis: int) -> bool:
    """Whether a reflection of an axis maps windows to windows."""
    return is_exact(
        stencil.in_shape[axis],
        stencil.circular[axis],
        stencil.kernel[axis],
        stencil.stride[axis],
        stencil.dilation[axis],
        stencil.padding[axis],
    )


def _reflected(asked: str, model: nn.Module, axes: int) -> list[bool]:
    """For each axis whether a group that rules of the model name reflects it."""
    rules = [part.rule for part in model.modules() if isinstance(part, MessagePassing)]
    groups = list(dict.fromkeys(rule.group for rule in rules if rule.group is not None))
    if not groups:
        do = "give a network over a group, as g.symmetrize makes one"
        raise GeodlError(asked, "no rule that names a group", do)
    others = [group for group in groups if group.axes != axes]
    if others:
        found = f"{axes} lengths, and {others[0]}, which acts on {others[0].axes} axes"
        raise GeodlError(asked, found, "give a length for each axis, as near=(28, 28)")
    # The model has the symmetry that all groups share: what one reflects counts where all do.
    return [all(axis) for axis in zip(*map(reflected_axes, groups), strict=True)]


def _loosened(model: nn.Module) -> nn.Module:
    """A model on the same parameters that refuses no size for the sake of its symmetry."""
    shared = [*model.parameters(), *model.buffers()]
    twin = copy.deepcopy(model, {id(tensor): tensor for tensor in shared})
    for part in twin.modules():
        if isinstance(part, MessagePassing):
            part.rule = _loose(part.rule)
    return twin


def _loose(rule: Any) -> Any:
    """A window, or the reverse of one, at any size; any other rule itself."""
    if getattr(rule, "exact", None) is True:
        return replace(rule, exact=False)
    forward = rule.reverse()
    if getattr(forward, "exact", None) is True:
        return replace(forward, exact=False).reverse(rule.onto)
    return rule


def _nothing_on(model: nn.Module, domain: Domain) -> Signal:
    """An empty batch of the channels and the dtype that the first layer of a model reads."""
    first = next((m for m in model.modules() if channels_read(m) is not None), None)
    channels = 1
    if first is not None:
        channels = channels_read(first) or 1
    like = next(model.parameters(), torch.zeros(0))
    x = torch.zeros(0, domain.num_nodes, channels, dtype=like.dtype, device=like.device)
    return Signal(x, domain)

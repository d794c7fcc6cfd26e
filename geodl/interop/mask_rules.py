"""The rule that an attention mask stands for: hidden pairs are missing edges."""

from typing import Any

import torch
from torch import Tensor

from geodl.interop.padding import with_mode
from geodl.interop.whole.ancestry import is_fixed, sources_of
from geodl.interop.whole.values import Value
from geodl.neighborhood import Neighborhood, all_pairs, past, window

# What models write in place of minus infinity; exp of it is 0 in every precision.
HIDDEN = -1e9


def rule_of_mask(build: Any, mask: Any, *, hidden_is: bool = True) -> Neighborhood | None:
    """The rule of an attention mask: `all_pairs()` without a mask, `past()` of a causal mask, a
    window of a mask that leaves a band; None of any other mask, and of one that depends on the
    values of an argument.

    Where a mask is cut out of a larger table of the model, the width of the band is read from the
    table: on a short example a wide band looks like a causal mask.

    Args:
        build: the import.
        mask: booleans, or numbers that are added to scores.
        hidden_is: the boolean that hides a pair.
    """
    if mask is None:
        return all_pairs()
    if (
        not isinstance(mask, Value)
        or mask.layout is not None
        or not is_fixed(build.nodes, mask.name)
    ):
        return None
    x = _matrix(mask.tensor)
    if x is None:
        return None
    if x.dtype == torch.bool:
        seen = x != hidden_is
    else:
        seen = x > HIDDEN
        if bool(x[seen].any()):
            return None
    tables = [_seen_in(one.tensor, seen) for one in sources_of(build.nodes, mask.name)]
    wide = [table for table in tables if table is not None]
    if wide:
        seen = wide[0]
    return _rule_of(seen)


def _matrix(x: Tensor) -> Tensor | None:
    """A square matrix without axes of length 1 before it; None of any other tensor."""
    while x.dim() > 2 and x.shape[0] == 1:
        x = x[0]
    if x.dim() != 2 or x.shape[0] != x.shape[1]:
        return None
    return x


def _seen_in(table: Tensor, seen: Tensor) -> Tensor | None:
    """Which pairs a table of the model leaves, if the mask is its first rows and columns; else
    None.
    """
    whole = _matrix(table)
    if whole is None or len(whole) < len(seen):
        return None
    # Every node sees itself.
    visible = whole == whole[0, 0]
    if not torch.equal(visible[: len(seen), : len(seen)], seen):
        return None
    return visible


def _rule_of(seen: Tensor) -> Neighborhood | None:
    """The rule of a boolean matrix `[receivers, senders]` that leaves a band; else None."""
    places = torch.arange(len(seen))
    offsets = places - places[:, None]
    if not bool(seen.any()):
        return None
    first, last = int(offsets[seen].min()), int(offsets[seen].max())
    if not torch.equal(seen, (offsets >= first) & (offsets <= last)) or first > 0 or last < 0:
        return None
    farthest = len(seen) - 1
    if -first == farthest:
        if last == 0:
            return past()
        # No rule is all nodes before a node and some after it.
        return all_pairs() if last == farthest else None
    rule = window(last - first + 1, axes=1, padding=((-first, last),))
    return with_mode(rule, "zeros")

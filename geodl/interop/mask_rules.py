"""Which rule a mask of attention is: a mask is missing edges."""

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
    """From which nodes a mask lets each node receive: all of them without a mask, those before it
    where what comes later is hidden, a window where a band is left; None of any other mask.

    A mask that depends on the values of an argument is another one. Where it is cut out of a larger
    table of the model, the table tells how far the band reaches.

    Args:
        build: the import.
        mask: of truth values, or of numbers that are added to scores.
        hidden_is: which truth value hides.
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
    """Who sees whom by a table of the model that a mask is the first rows and columns of."""
    whole = _matrix(table)
    if whole is None or len(whole) < len(seen):
        return None
    # Every node sees itself.
    visible = whole == whole[0, 0]
    if not torch.equal(visible[: len(seen), : len(seen)], seen):
        return None
    return visible


def _rule_of(seen: Tensor) -> Neighborhood | None:
    """The rule of a matrix, receivers first, in which all that lies in one band is seen."""
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
        # All before it and some after it: no rule is that.
        return all_pairs() if last == farthest else None
    rule = window(last - first + 1, axes=1, padding=((-first, last),))
    return with_mode(rule, "zeros")

"""Groups as they are before anything was asked of them."""

from geodl import Group


def forget(group: Group) -> None:
    """Drop what a group found of itself: its elements, tables and matrices."""
    state = group.__getstate__()
    vars(group).clear()
    group.__setstate__(state)

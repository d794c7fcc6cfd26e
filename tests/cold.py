"""Groups and windows as they are before anything was asked of them."""

from geodl import Group
from geodl.neighborhood import bank, edge_types


def forget(group: Group) -> None:
    """Drop what a group found of itself: its elements, tables and matrices; and the banks of all
    windows.
    """
    state = group.__getstate__()
    vars(group).clear()
    group.__setstate__(state)
    edge_types.type_table.cache_clear()
    bank.bank_of.cache_clear()

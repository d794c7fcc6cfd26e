"""Older objects are left out of garbage collection while the package is imported, and come back."""

import gc
import subprocess
import sys
import weakref

import pytest

from geodl.collector import older_objects_frozen

WATCHED = """
import gc, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "geodl.symmetry":
            print(gc.get_freeze_count() > 0)

sys.meta_path.insert(0, Watch())
import geodl
print(gc.get_freeze_count())
"""


def test_the_package_is_imported_so() -> None:
    said = subprocess.run([sys.executable, "-c", WATCHED], capture_output=True, text=True)
    assert said.stdout.split() == ["True", "0"], said.stderr


def test_objects_come_back() -> None:
    with older_objects_frozen():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


def test_objects_come_back_after_an_error() -> None:
    with pytest.raises(ImportError), older_objects_frozen():
        raise ImportError("a room that does not load")
    assert gc.get_freeze_count() == 0


def test_what_a_program_froze_before_stays_so() -> None:
    gc.freeze()
    try:
        with older_objects_frozen():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


class Knot:
    """An object that only garbage collection can end."""

    def __init__(self) -> None:
        self.itself = self


def test_new_garbage_is_still_found() -> None:
    """By collections that Python begins of itself."""
    with older_objects_frozen():
        lost = weakref.ref(Knot())
        kept: list[list] = []
        while lost() is not None and len(kept) < 10**6:
            kept.append([])
    assert lost() is None

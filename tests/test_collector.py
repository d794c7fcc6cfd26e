"""Objects are set aside while the package is imported, and come back."""

import gc

import pytest

from geodl.collector import older_objects_set_aside


def test_objects_come_back() -> None:
    with older_objects_set_aside():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


def test_objects_come_back_after_an_error() -> None:
    with pytest.raises(ImportError), older_objects_set_aside():
        raise ImportError("a room that does not load")
    assert gc.get_freeze_count() == 0


def test_what_a_program_set_aside_stays_so() -> None:
    gc.freeze()
    try:
        with older_objects_set_aside():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_garbage_is_still_found() -> None:
    with older_objects_set_aside():
        cycle: list = []
        cycle.append(cycle)
        del cycle
        assert gc.collect() > 0

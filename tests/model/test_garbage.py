"""The garbage collector, paused while many objects are made."""

from __future__ import annotations

import gc

from orchestrator.model.garbage import MANY, collector_paused

YOUNG = (0, 1)


def test_very_many_new_objects_count_as_old_after_the_block() -> None:
    gc.unfreeze()  # a command that ran in this process has frozen what it imported
    with collector_paused():
        made = [[number] for number in range(MANY + 1)]
    young = {id(each) for generation in YOUNG for each in gc.get_objects(generation)}
    assert not young & set(map(id, made))


def test_what_a_program_has_frozen_stays_so() -> None:
    gc.freeze()
    try:
        before = gc.get_freeze_count()
        with collector_paused():
            made = [[number] for number in range(MANY + 1)]
        assert made
        assert gc.get_freeze_count() == before > 0
    finally:
        gc.unfreeze()

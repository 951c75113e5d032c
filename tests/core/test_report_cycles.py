"""What people read about tasks that wait for each other."""

from __future__ import annotations

from orchestrator.report import cycles


def test_a_very_long_cycle_shows_its_beginning() -> None:
    cycle = [f"T{at}" for at in range(100)]

    shown = cycles.cycle_text(cycle, {name: name for name in cycle})

    assert shown.startswith("T0 → T1 → ")
    assert shown.endswith("T11 → 88 tasks more → T0")

"""What is installed was built from this source by the tools that are named, and by no others."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from workers import build_wheel


def test_each_tool_has_its_version_and_its_hash() -> None:
    """The wheel is built with tools whose hashes are pinned."""
    lines = [line for line in build_wheel.TOOLS.read_text("utf-8").splitlines() if not line.startswith("#")]
    assert [
        line for line in lines if not re.fullmatch(r"[\w-]+==[\w.]+ --hash=sha256:[0-9a-f]{64}", line)
    ] == []
    assert {line.partition("==")[0] for line in lines} >= {"hatchling", "packaging", "pathspec", "pluggy"}


@pytest.mark.real
def test_another_tool_of_the_same_name_builds_nothing(tmp_path: Path) -> None:
    # Given the tools, and a hash that is not theirs
    tools = tmp_path / "tools.txt"
    tools.write_text(re.sub(r"sha256:.{8}", "sha256:00000000", build_wheel.TOOLS.read_text("utf-8")), "utf-8")
    # When the wheel is built with them, then it is not
    with pytest.raises(subprocess.CalledProcessError) as refused:
        build_wheel.build(tmp_path / "dist", tools)
    assert "DO NOT MATCH THE HASHES" in refused.value.stdout
    assert list((tmp_path / "dist").iterdir()) == []

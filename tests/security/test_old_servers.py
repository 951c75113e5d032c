"""A Redis whose Lua has known holes is named, where more than we can use it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestrator.config.schema.servers import RedisSettings
from orchestrator.config.settings import Settings
from orchestrator.local import redis_checks
from orchestrator.model.finding import Level
from orchestrator.state import advisories
from tests.redis_server import client_of, serve


@pytest.mark.parametrize(
    ("product", "version", "names", "mended"),
    [
        ("Redis", (6, 2, 16), ["CVE-2024-46981", "CVE-2025-49844"], "6.2.20"),
        ("Redis", (6, 2, 19), ["CVE-2025-49844"], "6.2.20"),
        ("Redis", (6, 2, 20), [], ""),
        ("Redis", (7, 0, 15), ["CVE-2024-46981", "CVE-2025-49844"], "7.2.11"),
        ("Redis", (8, 2, 1), ["CVE-2025-49844"], "8.2.2"),
        ("Redis", (8, 10, 0), [], ""),
        ("Valkey", (8, 1, 4), ["CVE-2025-67733"], "8.1.6"),
        ("Valkey", (9, 1, 2), [], ""),
    ],
)
def test_the_holes_of_a_version(
    product: str, version: tuple[int, ...], names: list[str], mended: str
) -> None:
    assert advisories.holes(product, version) == (names, mended)


@pytest.mark.real
def test_doctor_names_a_redis_with_known_holes_in_lua_where_others_can_use_it(tmp_path: Path) -> None:
    """`doctor` names a Redis or Valkey whose Lua has known holes, where others can use it too."""
    # Given a Redis with a URL, whose version says what it says
    with serve(tmp_path) as url, client_of(url) as client:
        settings = Settings(redis=RedisSettings(url=SecretStr(url)))
        version = tuple(int(part) for part in client.info()["redis_version"].split("."))
        # When the doctor looks at it
        found = [one for one in redis_checks.check_redis(client, settings, url) if one.name == "lua"]
        # Then it warns of what is known of that version, and says which one is mended
        names, mended = advisories.holes("Redis", version)
        assert [one.level for one in found] == [Level.WARNING] * bool(names)
        assert all(mended in one.remedy and name in one.text for one in found for name in names)
        # And says nothing of the private Redis, which nobody else can use
        assert [one for one in redis_checks.check_redis(client, Settings(), url) if one.name == "lua"] == []

"""Passwords in URLs (the page on security): whatever stands in one, no part of it is shown."""

from __future__ import annotations

import itertools
import json
import traceback
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config import configuration
from orchestrator.config.settings import Settings
from orchestrator.config.urls import safe_url
from orchestrator.engine import broker
from orchestrator.model import errors
from orchestrator.notify import targets

PARTS = ("Zq7Kx", "Xw8Mp", "Yv9Nb")
BETWEEN = ["/", "#", "?", "@", ":", "[", "]", "%", "=", ";", ",", "/?", "#@", "://", "%2F", "\u0661"]

REDIS = [
    "redis://:PW@host:6379/0",
    "redis://amy:PW@host/0?socket_timeout=5",
    "rediss://amy:PW@[::1]:1/0",
    "redis://host?username=amy&password=PW",
    "unix://amy:PW@/run/redis.sock",
    "unix:///run/redis.sock?db=1&password=PW",
    "redis+socket://:PW@/run/redis.sock?virtual_host=2",
    "sentinel://:PW@a,b:2/mymaster",
    "sentinel://a/mymaster?sentinel_password=PW",
    "rediss://host/0?ssl_password=PW",
]
BROKERS = [
    *REDIS,
    "amqp://amy:PW@host:5672//",
    "amqps://amy:PW@host/v?token=PW",
    "amqp://amy:PW@a;amqp://amy:PW@b//",
    "sqs://key:PW@",
]
HOOKS = [
    "http://amy:PW@host/x",
    "https://amy:PW@[::1]:80/",
    "https://host/PW",
    "https://host/x?token=PW",
]


def given(name: str, url: str) -> dict[str, Any]:
    if name == "notifications":
        return {"notifications": [{"events": ["*"], "webhook": url, "secret": url}]}
    return {name: {"url": url}}


def shown(settings: Settings) -> str:
    """All that logs, reports and developers' tools can show of settings that were taken."""
    texts = [repr(settings), settings.model_dump_json()]
    if settings.redis.server:
        address = broker.address(settings.redis.server)
        texts += [
            settings.redis.server.shown,
            repr(settings.redis.server),
            repr(address),
            safe_url(address.url),
        ]
    if settings.broker.url:
        address = broker.find(settings)
        texts += [repr(address), safe_url(address.url), repr(settings.broker.server)]
        texts += [settings.broker.server.shown] if settings.broker.server else []
    for target in map(targets.open_target, settings.notifications):
        texts += [repr(target), target.name]
    return "\n".join(texts)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        *(("redis", form) for form in REDIS),
        *(("broker", form) for form in BROKERS),
        *(("notifications", form) for form in HOOKS),
    ],
)
def test_no_part_of_a_password_is_shown(
    name: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Special characters of a password are percent-encoded; one that is not is refused, and no part of it is shown."""
    file = tmp_path / "config.json"  # JSON is YAML, too
    monkeypatch.setenv("TASKORCHESTRATOR_CONFIG", str(file))
    found = []
    for between in [*zip(BETWEEN, BETWEEN, strict=True), *itertools.pairwise(BETWEEN)]:
        password = PARTS[0] + between[0] + PARTS[1] + between[1] + PARTS[2]
        file.write_text(json.dumps(given(name, form.replace("PW", password))), "utf-8")
        try:
            told = shown(configuration.load())
        except errors.InvalidConfiguration as error:
            told = "".join(traceback.format_exception(error)) + json.dumps(error.facts, default=str)
        found += [(password, part) for part in PARTS if part in told]
    assert found == []


@pytest.mark.parametrize(
    "url",
    ["http://a:80,b:81/x", "https://a:\u0661/", "https:/a/x", "https:a", "https://"],
)
def test_a_webhook_has_one_host_and_a_port_that_is_a_number(url: str) -> None:
    """A URL is parsed once, with the settings: each user of it accepts what they accept."""
    with pytest.raises(ValueError, match=r"scheme|host|port"):
        Settings.model_validate(given("notifications", url))

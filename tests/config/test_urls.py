"""URLs: every form that redis-py documents, those of sentinels, and what is said of one that cannot be used."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from orchestrator.config import urls
from orchestrator.config.schema.notifications import Notification
from orchestrator.config.schema.servers import BrokerSettings, RedisSettings
from orchestrator.engine import broker

SECRET = "se/c?r#e@t:5Ty"
QUOTED = "se%2Fc%3Fr%23e%40t%3A5Ty"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"redis://:{QUOTED}@cache", "redis://:**@cache:6379/0"),
        (f"redis://amy:{QUOTED}@cache:1/2", "redis://amy:**@cache:1/2"),
        (f"redis://cache:1/2?password={QUOTED}&username=amy&db=3", "redis://amy:**@cache:1/3"),
        (f"rediss://amy:{QUOTED}@[::1]:6380/1?ssl_ca_certs=/ca.crt", "rediss://amy:**@[::1]:6380/1"),
        (f"unix:///run/redis.sock?db=2&password={QUOTED}", "unix://:**@/run/redis.sock?db=2"),
        (f"unix://amy@/run/redis.sock?password={QUOTED}", "unix://amy:**@/run/redis.sock"),
        (f"unix://amy:{QUOTED}@/run/a@b.sock", "unix://amy:**@/run/a@b.sock"),
        (f"redis+socket://:{QUOTED}@/run/r.sock?virtual_host=2", "unix://:**@/run/r.sock?db=2"),
        (f"sentinel://:{QUOTED}@a,b:1/mymaster/2", "sentinel://:**@a:26379,b:1/mymaster/2"),
        (f"sentinels://amy:{QUOTED}@a/mymaster?sentinel_password=9{QUOTED}", "sentinels://amy:**@a:26379/mymaster/0"),
        (f"sentinel://:{QUOTED}@a:1;sentinel://:{QUOTED}@b:2/m", "sentinel://:**@a:1,b:2/m/0"),
    ],
)  # fmt: skip
def test_every_form_is_read_and_hides_its_password(url: str, shown: str) -> None:
    server = urls.read(url)

    assert server.shown == shown
    assert server.account["password"] == SECRET
    assert SECRET not in repr(server)
    assert QUOTED not in repr(server)
    assert QUOTED not in repr(RedisSettings(url=SecretStr(url)))


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("http://cache", "is no Redis URL"),
        ("redis://", "is no Redis URL"),
        ("", "is no Redis URL"),
        ("redis://cache?sockettimeout=5", "options: sockettimeout"),
        ("redis://cache?ssl_ca_certs=/ca.crt", "options: ssl_ca_certs"),
        ("redis://cache?socket_timeout=soon", "option socket_timeout"),
        ("redis://cache:99999", "port"),
        ("redis://cache:abc", "port"),
        ("redis://cache:0", "port"),
        ("redis://[::1", "host"),
        ("redis://::1", "port"),
        ("redis://a,b/0", "host"),
        ("redis://cache?db=zz", "database"),
        ("redis://cache/x", "database"),
        ("redis://cache/1/2", "database"),
        ("redis://cache/-1", "database"),
        ("redis://cache/0 ", "a space"),
        ("rediss://cache?ssl_cert_reqs=maybe", "option ssl_cert_reqs"),
        ("unix://cache/run/redis.sock", "path"),
        ("unix://", "is no Redis URL"),
        ("sentinel://a,b", "master"),
        ("sentinel://a;sentinel://b", "master"),
        ("sentinel://:x@a/m;sentinel://:y@b/m", "differ"),
        ("redis://:se/secret@cache:6379/0", "password"),
        ("redis://:se?secret@cache:6379/0", "password"),
        ("redis://:se#secret@cache:6379/0", "password"),
        ("unix://:se/secret@/run/redis.sock", "password"),
        ("sentinel://:se/secret@a/mymaster", "password"),
    ],
)
def test_what_is_wrong_is_named_by_its_part_and_never_quoted(url: str, part: str) -> None:
    with pytest.raises(urls.BadUrl, match=part) as caught:
        urls.read(url)
    assert "secret" not in str(caught.value)

    with pytest.raises(ValidationError) as refused:
        RedisSettings(url=SecretStr(url))
    assert "secret" not in str(refused.value)
    assert part in str(refused.value)
    if urls.is_redis(url):
        with pytest.raises(ValidationError, match=part):
            BrokerSettings(url=SecretStr(url))


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("amqp://amy:se/secret@rabbit", "password"),
        ("amqp://rabbit:abc", "port"),
        ("amqp://one;amqp://two:99999", "port"),
        ("amqp://[::1", "host"),
    ],
)
def test_another_broker_is_checked_too(url: str, part: str) -> None:
    with pytest.raises(ValidationError, match=part) as caught:
        BrokerSettings(url=SecretStr(url))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["amqp://u:p%2F@rabbit:5672//", "amqp://one;amqp://two", "memory://", "sqs://"]
)
def test_brokers_that_celery_knows_are_left_alone(url: str) -> None:
    assert BrokerSettings(url=SecretStr(url)).server is None


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("https://amy:se/secret@hook", "password"),
        ("https://amy:se?secret@hook", "password"),
        ("https://amy:se#secret@hook", "password"),
        ("https://hook:abc/", "port"),
        ("https://[::1/", "host"),
        ("https:///path", "host"),
        ("ftp://hook", "scheme"),
    ],
)
def test_a_webhook_is_checked_too(url: str, part: str) -> None:
    with pytest.raises(ValidationError, match=part) as caught:
        Notification(events=("*",), webhook=SecretStr(url))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://hook/a@b?to=amy@example.org", "http://u:p%2F@hook:1/x"])
def test_a_webhook_may_hold_what_urls_hold(url: str) -> None:
    assert Notification(events=("*",), webhook=SecretStr(url)).webhook


def test_celery_gets_options_where_it_looks_for_them() -> None:
    tls = "&ssl_ca_certs=/ca.crt&ssl_check_hostname=false"
    server = urls.read(
        f"sentinels://amy:{QUOTED}@a,b:1/mymaster/2?socket_timeout=5&sentinel_password=own{tls}"
    )
    address = broker.address(server)

    assert address.url == f"sentinel://amy:{QUOTED}@a:26379/2;sentinel://amy:{QUOTED}@b:1/2"
    assert address.transport["master_name"] == "mymaster"
    assert address.transport["socket_timeout"] == 5.0
    of_sentinels = address.transport["sentinel_kwargs"]
    assert of_sentinels["password"] == "own"
    assert of_sentinels["ssl"] is True
    assert address.tls == {
        "ssl_cert_reqs": "required",
        "ssl_ca_certs": "/ca.crt",
        "ssl_check_hostname": False,
    }
    results = broker.result_settings(address, "to:celery:")
    assert results["redis_socket_timeout"] == 5.0
    assert results["result_backend_transport_options"]["master_name"] == "mymaster"
    assert SECRET not in repr(address.transport) + str(results["result_backend_transport_options"])


def test_replicas_need_a_redis_of_their_own() -> None:
    with pytest.raises(ValidationError, match="the private Redis has none"):
        RedisSettings(replicas=1)

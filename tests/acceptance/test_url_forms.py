"""Every form of URL that redis-py documents works for the state, the broker, the results and Flower's queues."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flower.utils.broker import Broker
from pydantic import SecretStr

from orchestrator.config.schema.servers import BrokerSettings, RedisSettings
from orchestrator.config.settings import Settings
from orchestrator.engine import transport
from orchestrator.engine.app import create
from orchestrator.state import connections
from orchestrator.state.keys import Keys
from tests.acceptance.test_tls import certificates
from tests.redis_tcp import NoTLS, free_port, serve_tcp

pytestmark = pytest.mark.real

SECRET = "se%2Fc%3Fr%23e%40t%3A6Uz"
CLEAR = "se/c?r#e@t:6Uz"
QUEUE = "senior-engineer"
STORED = Keys().celery() + QUEUE


@pytest.fixture
def places(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A Redis at a port and at a socket, with a password and a user."""
    port = free_port()
    lines = [
        f"port {port}",
        f"unixsocket {tmp_path}/r.sock",
        f'requirepass "{CLEAR}"',
        f'user amy on ">{CLEAR}" ~* &* +@all',
    ]
    with serve_tcp(tmp_path / "server", *lines, ready=f"redis://:{SECRET}@127.0.0.1:{port}/0"):
        yield {"address": f"127.0.0.1:{port}", "path": f"{tmp_path}/r.sock"}


def everywhere(url: str, db: int) -> None:
    """The state, the broker and the results are in that database, and nothing that people see holds the password."""
    settings = Settings(redis=RedisSettings(url=SecretStr(url)))
    store = connections.open_store(settings)
    store.client.set("where", db)
    assert store.client.connection_pool.connection_kwargs["db"] == db

    app = create(settings)
    results: Any = app.backend
    results.set("result", "here")
    assert store.client.get("result") == "here"
    for connection in (app.connection_for_write(), transport.use(app.connection_for_read())):
        with connection:
            queue = connection.SimpleQueue(QUEUE)
            queue.put({"from": "kombu"})
            assert store.client.llen(STORED) == 1
            message = queue.get(timeout=10)
            assert message.payload == {"from": "kombu"}
            message.ack()
            assert CLEAR not in connection.as_uri()
            assert SECRET not in connection.as_uri()
    report = str(app.conf.humanize(with_defaults=False, censored=True))
    told = store.url + str(settings) + report + app.backend.as_uri()
    assert CLEAR not in told
    assert SECRET not in told


def seen_by_flower(url: str) -> int:
    """The messages that Flower's page of queues counts, of one."""
    settings = Settings(redis=RedisSettings(url=SecretStr(url)))
    app = create(settings)
    connections.open_store(settings).client.lpush(STORED, "{}")
    with app.connection() as connection:
        uri = connection.as_uri(include_password=True)
    looked = Broker(
        uri, broker_options=app.conf.broker_transport_options, broker_use_ssl=app.conf.broker_use_ssl
    )
    (found,) = asyncio.run(looked.queues([QUEUE]))
    return int(found["messages"])


@pytest.mark.parametrize(
    ("form", "db"),
    [
        (f"redis://:{SECRET}@ADDRESS", 0),
        (f"redis://:{SECRET}@ADDRESS/2", 2),
        (f"redis://amy:{SECRET}@ADDRESS/0?db=3&socket_timeout=5&health_check_interval=10", 3),
        (f"redis://ADDRESS?username=amy&password={SECRET}&client_name=us&protocol=2", 0),
        (f"unix://PATH?password={SECRET}", 0),
        (f"unix://PATH?db=2&password={SECRET}&socket_timeout=5", 2),
        (f"unix://amy@PATH?db=1&password={SECRET}", 1),
        (f"unix://:{SECRET}@PATH", 0),
        (f"redis+socket://:{SECRET}@PATH?virtual_host=4", 4),
    ],
)
def test_a_url_works_everywhere(places: dict[str, str], form: str, db: int) -> None:
    url = form.replace("ADDRESS", places["address"]).replace("PATH", places["path"])
    everywhere(url, db)


@pytest.mark.parametrize("form", [f"redis://amy:{SECRET}@ADDRESS/2", f"unix://PATH?password={SECRET}"])
def test_flower_counts_the_queues(places: dict[str, str], form: str) -> None:
    assert seen_by_flower(form.replace("ADDRESS", places["address"]).replace("PATH", places["path"])) == 1


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl to make certificates with")
def test_tls_with_a_port_and_a_query_as_providers_write_it(tmp_path: Path) -> None:
    # As of Amazon (rediss://user:token@name:6379/0) and of Azure (rediss://:key@name:6380/0), with a CA of our own
    keys, port = certificates(tmp_path / "keys"), free_port()
    lines = [
        "port 0",
        f"tls-port {port}",
        f"tls-cert-file {keys / 'redis.crt'}",
        f"tls-key-file {keys / 'redis.key'}",
        f"tls-ca-cert-file {keys / 'ca.crt'}",
        "tls-auth-clients no",
        f'user default on ">{CLEAR}" ~* &* +@all',
    ]
    tail = f"127.0.0.1:{port}/1?ssl_ca_certs={keys / 'ca.crt'}"
    try:
        with serve_tcp(tmp_path / "server", *lines, ready=f"rediss://:{SECRET}@{tail}"):
            for account in (f":{SECRET}@", f"default:{SECRET}@"):
                everywhere(f"rediss://{account}{tail}&ssl_cert_reqs=required&ssl_check_hostname=true", 1)
            assert seen_by_flower(f"rediss://:{SECRET}@{tail}") == 1
            with pytest.raises(Exception, match=r"(?i)certificate"):
                everywhere(f"rediss://:{SECRET}@127.0.0.1:{port}/1", 1)
    except NoTLS:
        pytest.skip("no server here speaks TLS")


def test_a_broker_of_its_own_takes_the_same_forms(places: dict[str, str]) -> None:
    settings = Settings(
        redis=RedisSettings(url=SecretStr(f"redis://:{SECRET}@{places['address']}/0")),
        broker=BrokerSettings(url=SecretStr(f"unix://{places['path']}?db=5&password={SECRET}")),
    )
    app = create(settings)
    with app.connection_for_write() as connection, contextlib.closing(connection.SimpleQueue(QUEUE)) as queue:
        queue.put({"from": "kombu"})
    client = connections.open_client(connections.redis_url(settings), db=5)
    assert client.llen(STORED) == 1

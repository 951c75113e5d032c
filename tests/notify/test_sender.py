"""Events reach the log, a command and a webhook: once where all goes well, at least once in any case."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fakeredis
import pytest

from orchestrator.config.schema.notifications import Notification
from orchestrator.model.event import Event
from orchestrator.model.flows import FeatureEvent
from orchestrator.notify import rules, sender, targets
from orchestrator.notify.sender import Notifier
from orchestrator.notify.targets import Command, Webhook
from orchestrator.state import cursors
from orchestrator.state.cursors import Cursors
from orchestrator.state.store import Store
from tests.model import factories as features
from tests.state import factories
from tests.waiting import wait_until

PATIENCE = 60.0
"""Seconds after which a test gives up. No verdict depends on it otherwise."""

LEADER = "w1@host"
MESSAGE = rules.message(
    "login-1",
    "Login",
    Event(id="1-0", time=1.0, event="work_failed", task="T3", target="failed", cause="timeout"),
)


# Features with events, and somebody who is told


class Friend:
    """A target in memory, which can be made to fail."""

    name = "a friend"

    def __init__(self, address: str = "friend") -> None:
        self.address = address
        self.told: list[dict[str, Any]] = []
        self.answers: list[str | BaseException | None] = []

    def send(self, message: Any) -> str | None:
        answer = self.answers.pop(0) if self.answers else None
        if answer is None or isinstance(answer, BaseException):
            self.told.append(dict(message))
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @property
    def ids(self) -> list[tuple[str, str]]:
        """The (feature, event) of all that was told."""
        return [(message["feature"], message["event"]) for message in self.told]


class Died(BaseException):
    """As if the worker had ended here."""


def begin(store: Store, feature_id: str = "auth") -> None:
    """A feature of one task, launched: feature_enqueued, batch_opened, task_launched."""
    factories.launched(store, features.task("T1", title="Sign in"), feature_id=feature_id)


def end(store: Store, feature_id: str = "auth") -> None:
    store.requests.update_feature(feature_id, FeatureEvent.FEATURE_CANCELLED, note="not needed")
    store.client.delete(store.keys.feature(feature_id).slots)
    store.client.srem(store.keys.active, feature_id)


def pass_a_moment(store: Store) -> None:
    """Let Redis' clock go on by a millisecond."""
    before = store.client.time()
    wait_until(lambda: store.client.time()[0] * 1000 + store.client.time()[1] // 1000 > _ms(before))


def _ms(moment: Any) -> int:
    return int(moment[0] * 1000 + moment[1] // 1000)


def make(
    store: Store, target: Any, *events: str, worker: str = LEADER, name: str = "n", **given: Any
) -> Notifier:
    options = {"backoff": 0.001, "pause": 0.005, **given}
    return Notifier(store, Cursors(store, name), target, events or ("*",), worker, **options)


def tell_all(told: Notifier) -> None:
    """Rounds until nothing is left."""
    while told.tell():
        pass


@pytest.fixture
def led(store: Store) -> Store:
    """A store whose sweep is led by LEADER."""
    assert store.recovery.acquire_leadership(LEADER, seconds=600)
    return store


@pytest.fixture
def friend() -> Friend:
    return Friend()


# Sending


def test_each_event_is_told_once_in_order(led: Store, friend: Friend) -> None:
    begin(led)
    told = make(led, friend)

    tell_all(told)
    tell_all(told)

    assert [name for _, name in friend.ids] == ["feature_enqueued", "batch_opened", "task_launched"]
    assert [message["id"] for message in friend.told] == [event.id for event in led.events.read("auth")]
    assert friend.told[2]["title"] == "Login"
    assert friend.told[2]["task_title"] == "Sign in"


def test_only_what_is_named_is_told_and_the_rest_is_read_once(led: Store, friend: Friend) -> None:
    begin(led)
    told = make(led, friend, "milestones")

    tell_all(told)

    assert [name for _, name in friend.ids] == ["batch_opened"]
    assert led.client.hget(told.cursors.key, "auth") == led.events.last("auth")


def test_more_events_than_are_read_at_once_are_all_told(led: Store, friend: Friend) -> None:
    begin(led)
    pipeline = led.client.pipeline()
    for _ in range(2_100):
        pipeline.xadd(led.keys.feature("auth").events, {"event": "cap_changed"})
    pipeline.execute()

    tell_all(make(led, friend, "cap_changed"))

    assert len({message["id"] for message in friend.told}) == len(friend.told) == 2_100


def test_a_feature_leaves_when_it_is_over_and_its_last_event_is_told(led: Store, friend: Friend) -> None:
    begin(led)
    told = make(led, friend)
    tell_all(told)
    end(led)
    pass_a_moment(led)

    tell_all(told)
    tell_all(told)

    assert friend.ids[-1] == ("auth", "feature_cancelled")
    assert friend.told[-1]["note"] == "not needed"
    assert led.client.hkeys(told.cursors.key) == [cursors.SEEN]
    assert len(friend.told) == len(led.events.read("auth"))


def test_a_feature_that_begins_and_ends_between_two_looks_is_told(led: Store, friend: Friend) -> None:
    told = make(led, friend)
    tell_all(told)
    pass_a_moment(led)
    begin(led)
    end(led)
    pass_a_moment(led)

    tell_all(told)
    tell_all(told)

    assert friend.ids[0] == ("auth", "feature_enqueued")
    assert friend.ids[-1] == ("auth", "feature_cancelled")
    assert len(friend.told) == len(led.events.read("auth"))


def test_a_feature_that_is_newer_than_the_index_was_read_stays_until_it_was(
    led: Store, friend: Friend
) -> None:
    # Given a feature known as active only: the index has been read up to a moment before its own
    begin(led)
    created = led.client.zscore(led.keys.features, "auth") or 0.0
    led.client.zadd(led.keys.features, {"auth": 1e13})
    told = make(led, friend)
    tell_all(told)
    end(led)

    # When it is over and told, then it stays known, or the index would bring it back
    tell_all(told)
    assert led.client.hexists(told.cursors.key, "auth")

    # When the index has been read up to it, then it leaves, and is told no more
    led.client.zadd(led.keys.features, {"auth": created})
    tell_all(told)
    tell_all(told)
    assert led.client.hkeys(told.cursors.key) == [cursors.SEEN]
    assert len(friend.told) == len(led.events.read("auth"))


def test_many_short_features_are_each_told_once(led: Store, friend: Friend) -> None:
    told = make(led, friend, "feature_enqueued", "feature_cancelled")
    told.tell()
    pass_a_moment(led)
    for number in range(20):
        begin(led, f"f{number}")
        told.tell()
        end(led, f"f{number}")
        told.tell()
    pass_a_moment(led)

    tell_all(told)
    tell_all(told)

    assert sorted(friend.ids) == sorted(
        (f"f{number}", event) for number in range(20) for event in ("feature_enqueued", "feature_cancelled")
    )
    assert led.client.hkeys(told.cursors.key) == [cursors.SEEN]


def test_a_new_notification_tells_of_what_goes_on_and_not_of_what_was_over_before(
    led: Store, friend: Friend
) -> None:
    begin(led, "old")
    end(led, "old")
    begin(led, "current")
    pass_a_moment(led)

    tell_all(make(led, friend))

    assert {feature for feature, _ in friend.ids} == {"current"}
    assert friend.ids[0] == ("current", "feature_enqueued")


@pytest.mark.parametrize("damage", ["event", "stream"])
def test_a_feature_that_cannot_be_read_holds_up_no_other(
    led: Store, friend: Friend, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    begin(led, "a-broken")
    begin(led, "sound")
    broken = led.keys.feature("a-broken").events
    if damage == "event":
        led.client.xadd(broken, {"event": "progress", "attempt": "unheard-of"})
    elif isinstance(led.client, fakeredis.FakeRedis):
        pytest.skip("fakeredis answers XREAD of another type with an error of its own")
    else:
        led.client.set(broken, "no stream")

    make(led, friend).tell()

    assert {feature for feature, _ in friend.ids} == {"sound"}
    assert "[a-broken] cannot be told to a friend" in caplog.text


def test_a_feature_with_much_to_tell_lets_the_others_have_their_turn(led: Store, friend: Friend) -> None:
    begin(led, "a")
    begin(led, "b")
    for _ in range(sender.TURN * 2):
        led.client.xadd(led.keys.feature("a").events, {"event": "cap_changed"})

    make(led, friend).tell()

    assert [feature for feature, _ in friend.ids] == ["a"] * sender.TURN + ["b"] * 3


# The leader


def test_only_the_worker_that_leads_tells(led: Store, friend: Friend) -> None:
    begin(led)

    assert make(led, friend, worker="w2@host").tell() is False
    assert friend.told == []


def test_when_the_leader_dies_the_next_one_goes_on_where_it_was(led: Store, friend: Friend) -> None:
    # Given a leader that dies when its third event is told, before it could remember that
    begin(led, "a")
    begin(led, "b")
    friend.answers = [None, None, Died()]
    with pytest.raises(Died):
        make(led, friend).tell()

    # When another worker leads
    led.client.delete(led.keys.sweeper)
    assert led.recovery.acquire_leadership("w2@host", seconds=600)
    tell_all(make(led, friend, worker="w2@host"))

    # Then everything is told, and what is told twice is that one event, with the same id
    told = [(message["feature"], message["id"]) for message in friend.told]
    stored = [(feature, event.id) for feature in ("a", "b") for event in led.events.read(feature)]
    assert sorted(set(told)) == sorted(stored)
    assert told == [*stored[:3], stored[2], *stored[3:]]


def test_a_leader_that_lost_its_place_while_it_told_an_event_changes_nothing(
    led: Store, friend: Friend
) -> None:
    # Given a leader that is in the middle of telling when another one tells everything
    begin(led)
    second = Friend()

    class Slow(Friend):
        def send(self, message: Any) -> str | None:
            if not self.told:
                led.client.set(led.keys.sweeper, "w2@host")
                tell_all(make(led, second, worker="w2@host"))
            return super().send(message)

    slow = Slow()

    # When it comes back
    tell_all(make(led, slow))

    # Then it tells no more, and what the other one remembers stays
    assert len(slow.told) == 1
    assert led.client.hget(led.keys.notified("n"), "auth") == led.events.last("auth")
    assert len(second.told) == 3


# Tries


def test_a_failed_event_is_tried_again_and_those_behind_it_wait(led: Store, friend: Friend) -> None:
    begin(led)
    friend.answers = ["busy", "busy"]
    told = make(led, friend)

    wait_until(lambda: told.tell() or len(friend.told) == 3)
    tell_all(told)

    assert [name for _, name in friend.ids] == ["feature_enqueued", "batch_opened", "task_launched"]
    assert friend.answers == []


def test_the_other_features_do_not_wait_for_one_that_cannot_be_told_yet(led: Store, friend: Friend) -> None:
    begin(led, "a")
    begin(led, "b")
    friend.answers = ["busy"]
    told = make(led, friend, backoff=3_600)

    tell_all(told)

    assert {feature for feature, _ in friend.ids} == {"b"}
    assert told.waits["a"].tries == 1


def test_waits_grow_from_try_to_try(led: Store, friend: Friend) -> None:
    begin(led)
    told = make(led, friend, backoff=10, tries=50)
    for whole in (10, 20, 40, 80):
        friend.answers = ["busy"]
        before = time.monotonic()
        told.tell()
        after = time.monotonic()
        wait = told.waits["auth"]
        # The jitter takes up to half of it away.
        assert wait.due - before >= whole / 2
        assert wait.due - after <= whole
        told.waits["auth"] = sender.Wait(wait.event, wait.tries, 0.0)

    assert told.waits["auth"].tries == 4
    assert friend.told == []


def test_an_event_is_given_up_after_its_tries_with_a_line_that_says_all(
    led: Store, friend: Friend, caplog: pytest.LogCaptureFixture
) -> None:
    begin(led)
    friend.answers = ["busy", "busy", "busy"]
    told = make(led, friend, tries=3)

    wait_until(lambda: told.tell() or len(friend.told) == 2)

    assert [name for _, name in friend.ids] == ["batch_opened", "task_launched"]
    (line,) = [record.getMessage() for record in caplog.records]
    first = led.events.read("auth")[0]
    assert line.startswith(
        f"The notification of feature_enqueued ({first.id}) of auth did not reach a friend; given up after 3 tries: "
        "busy.\n"
    )


def test_a_dead_target_delays_only_its_own_notification(led: Store, friend: Friend) -> None:
    # Given two notifications that work in threads of their own, and one target that does not answer
    begin(led)
    release, entered = threading.Event(), threading.Event()

    class Dead(Friend):
        def send(self, message: Any) -> str | None:
            entered.set()
            release.wait(PATIENCE)
            return "dead"

    notifiers = [make(led, Dead(), name="dead"), make(led, friend, name="friend")]
    for each in notifiers:
        each.start()
    try:
        # When it is being told, then the other one hears everything all the same
        assert entered.wait(PATIENCE)
        wait_until(lambda: len(friend.told) == 3)
    finally:
        release.set()
        for each in notifiers:
            each.stop()
            each.thread.join(PATIENCE)


def test_a_round_can_be_asked_for_before_the_pause_is_over(led: Store, friend: Friend) -> None:
    told = make(led, friend, pause=3_600)
    told.start()
    try:
        told.flush(PATIENCE)
        begin(led)
        pass_a_moment(led)
        told.flush(PATIENCE)

        assert len(friend.told) == 3
    finally:
        told.stop()
        told.thread.join(PATIENCE)
    assert not told.thread.is_alive()


# From the settings


def test_each_notification_of_the_settings_has_a_memory_of_its_own_that_its_order_does_not_change(
    led: Store,
) -> None:
    def keys(*told: dict[str, Any]) -> list[str]:
        read = [Notification.model_validate(one) for one in told]
        return [each.cursors.key for each in sender.open_notifiers(led, read, LEADER, pause=1.0)]

    log = {"events": ["*"], "log": True}
    hook = {"events": ["*"], "webhook": "https://hooks.example.com/secret-path"}

    first, second = keys(log, hook)
    assert keys(hook, log) == [second, first]
    assert keys({**log, "events": ["failures"]}) == [first], "the same target goes on where it was"
    assert len(set(keys(log, log, hook))) == 3
    assert "secret" not in second


# The log


def test_the_log_gets_a_warning_for_trouble_and_a_line_of_information_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "orchestrator")
    opened = Event(id="2-0", time=1.0, event="batch_opened", batch=1, total=2)

    assert targets.Log().send(MESSAGE) is None
    assert targets.Log().send(rules.message("login-1", "Login", opened)) is None

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "WARNING",
            "[login-1] Login: T3: failed (timeout) Next: orchestrator retry login-1 T3",
        ),
        ("INFO", "[login-1] Login: Batch 1 started: 2 tasks"),
    ]


# A command


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_command_gets_the_event_as_json_on_its_input(tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    command = python(f"import sys; open({str(file)!r}, 'w').write(sys.stdin.read())")

    assert Command(command, timeout=PATIENCE).send(MESSAGE) is None

    assert json.loads(file.read_text("utf-8")) == MESSAGE


def test_a_command_does_not_get_the_passwords_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKORCHESTRATOR_REDIS__URL", "redis://:let-me-in@host")
    command = python("import os, sys; sys.exit('let-me-in' in str(dict(os.environ)))")

    assert Command(command, timeout=PATIENCE).send(MESSAGE) is None


def test_a_command_that_fails_says_why() -> None:
    command = python("import sys; print('first', file=sys.stderr); sys.exit('no network')")

    assert Command(command, timeout=PATIENCE).send(MESSAGE) == "exit code 1: no network"


def test_a_command_that_is_not_there_says_so_and_its_arguments_are_not_shown() -> None:
    command = Command(("/nowhere/tell", "--password=hidden"), timeout=PATIENCE)

    assert command.send(MESSAGE) == "it cannot be started: No such file or directory"
    assert command.name == "the command tell"


def test_a_command_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    child = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    child += f"open({str(file)!r} + '.new', 'w').write(str(os.getpid())); "
    child += f"os.rename({str(file)!r} + '.new', {str(file)!r}); time.sleep(3600)"
    # Its parent waits for it to be there, so that the time is over only then.
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}]).wait()"

    answer = Command(python(code), timeout=5.0).send(MESSAGE)

    assert answer == "no end within 5 s"
    if file.exists():  # on a machine where the child began in time
        assert not _runs(int(file.read_text()))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A child that has ended, and that nobody has waited for, is no process any more.
    return ") Z" not in Path(f"/proc/{pid}/stat").read_text() if Path("/proc").is_dir() else True


# A webhook


class Hook(ThreadingHTTPServer):
    """A server that keeps what it is sent, and answers with the given statuses, then with 204."""

    daemon_threads = True

    def __init__(self, *answers: int, location: str = "") -> None:
        super().__init__(("127.0.0.1", 0), Answerer)
        self.answers = list(answers)
        self.location = location
        self.got: list[tuple[str, Any, bytes]] = []

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Answerer(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers, body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 204)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(*answers: int, location: str = "") -> Iterator[Hook]:
    with Hook(*answers, location=location) as hook:
        thread = threading.Thread(target=hook.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield hook
        finally:
            hook.shutdown()
            thread.join(PATIENCE)


def test_a_webhook_gets_the_event_as_signed_json() -> None:
    with serving() as hook:
        assert Webhook(hook.url("/a b?to=ops"), "key", PATIENCE).send(MESSAGE) is None

    ((path, headers, body),) = hook.got
    assert path == "/a%20b?to=ops"
    assert json.loads(body) == MESSAGE
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Orchestrator-Event"] == "work_failed"
    timestamp = headers["X-Orchestrator-Timestamp"]
    assert headers["X-Orchestrator-Signature"] == rules.signature("key", timestamp, body)


def test_without_a_secret_nothing_is_signed_and_a_user_in_the_url_is_sent_as_one() -> None:
    with serving() as hook:
        url = hook.url().replace("//", "//me:p%40ss@")
        assert Webhook(url, None, PATIENCE).send(MESSAGE) is None

    ((_, headers, _),) = hook.got
    assert "X-Orchestrator-Signature" not in headers
    assert headers["Authorization"] == "Basic bWU6cEBzcw=="


def test_a_webhook_that_fails_first_is_told_in_the_end_with_the_same_event(led: Store) -> None:
    begin(led)
    with serving(503, 500) as hook:
        told = make(led, Webhook(hook.url(), "key", PATIENCE), "feature_enqueued")
        wait_until(lambda: told.tell() or len(hook.got) == 3)
        tell_all(told)

    assert len(hook.got) == 3
    assert len({json.loads(body)["id"] for _, _, body in hook.got}) == 1


def test_a_dead_webhook_is_given_up_without_a_secret_in_the_log(
    led: Store, caplog: pytest.LogCaptureFixture
) -> None:
    begin(led)
    with serving(*[500] * 2) as hook:
        url = hook.url("/hidden-path?token=hidden").replace("//", "//me:hidden@")
        told = make(led, Webhook(url, "hidden", PATIENCE), "feature_enqueued", tries=2)
        wait_until(lambda: told.tell() or len(hook.got) == 2)
        tell_all(told)

    assert f"did not reach the webhook at http://127.0.0.1:{hook.server_address[1]}" in caplog.text
    assert "given up after 2 tries: the answer 500 Internal Server Error" in caplog.text
    assert "hidden" not in caplog.text


def test_a_redirect_is_not_followed() -> None:
    with serving() as other, serving(307, location=other.url()) as hook:
        assert Webhook(hook.url(), "key", PATIENCE).send(MESSAGE) == "the answer 307 Temporary Redirect"

    assert other.got == []


def test_a_closed_port_and_a_url_that_is_none_are_failures_that_say_nothing_secret() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert (
            Webhook(f"http://127.0.0.1:{port}/hidden", None, PATIENCE).send(MESSAGE) == "Connection refused"
        )
    for url in ("http://", "http://host:hidden/", "http:///hidden"):
        answer = Webhook(url, None, PATIENCE).send(MESSAGE)
        assert answer == "ValueError"


@contextmanager
def dripping(seconds_between: float | None) -> Iterator[str]:
    """A server that takes a connection, and then says nothing, or a letter now and then without an end."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
                    while not stop.wait(seconds_between):
                        connection.sendall(b"x")
                except OSError:
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        finally:
            stop.set()
            thread.join(PATIENCE)


@pytest.mark.parametrize("seconds_between", [None, 0.02], ids=["silent", "dripping"])
def test_a_webhook_that_does_not_come_to_an_end_is_left_in_time(seconds_between: float | None) -> None:
    with dripping(seconds_between) as url:
        assert Webhook(url, "key", timeout=0.3).send(MESSAGE) == "no answer within 0.3 s"

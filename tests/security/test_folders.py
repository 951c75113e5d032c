"""What the page on security says of folders and files: one test a sentence, on a file system as it is."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import fakeredis
import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.client.client import Client
from orchestrator.config import configuration, private
from orchestrator.config.folder import FOLDER, find_folder
from orchestrator.config.settings import Settings
from orchestrator.model import errors
from orchestrator.model.task import Task
from orchestrator.planning import planner, routing
from orchestrator.specialists.attempt_log import AttemptLog
from orchestrator.specialists.command import CommandRunner
from orchestrator.specialists.context import Context, FeatureHead
from orchestrator.state import connections, embedded, folders
from orchestrator.state.keys import Keys
from orchestrator.state.retention import Cleaner
from orchestrator.state.store import Store
from orchestrator.state.tails import Tails, log_file, read
from tests.model import factories
from tests.model.factories import task
from tests.redis_server import find_binaries
from tests.state.factories import launched

SECRET = "what nobody else may read or lose\n"
ANOTHER_USER = 12_345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    """The state that commands in this folder find."""
    store = new_store()
    monkeypatch.setattr(connections, "open_store", lambda settings: store)
    (tmp_path / "project" / FOLDER).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("TASKORCHESTRATOR_REDIS__URL", "redis://nowhere:1/0")
    return store


def new_store() -> Store:
    return Store(fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True), Keys())


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder that is none of ours, with a file in it."""
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "precious").write_text(SECRET)
    return folder


def shared(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Settings:
    """The settings of a project whose logs go into a folder that others write too."""
    folder.mkdir(mode=0o777, exist_ok=True)
    monkeypatch.setenv("TASKORCHESTRATOR_LOGS", str(folder))
    return configuration.load()


def is_over(store: Store, feature_id: str) -> None:
    """Write into Redis what makes a feature look over for long."""
    store.client.hset(store.keys.feature(feature_id).meta, mapping={"status": "completed", "finished": 1})
    store.client.zadd(store.keys.finished, {feature_id: 1})


def worked(settings: Settings, store: Store, feature_id: str) -> tuple[Path, Path]:
    """The folders of a feature, as an attempt leaves them that has said something."""
    with AttemptLog.open(log_file(settings, feature_id, "T1", 1)) as log:
        log.file.write(b"done\n")
    logs, work = folders.of(settings, feature_id)
    private.make_folder(work / "T1.1")
    folders.mark(settings, store, feature_id)
    return logs, work


def prune(*options: str) -> dict[str, list[str]]:
    asked = CliRunner().invoke(app, ["prune", "--older-than", "1ms", "--json", *options])
    assert asked.exit_code == 0, asked.output
    found: dict[str, list[str]] = json.loads(asked.stdout)
    return found


def is_safe(victim: Path) -> bool:
    return (victim / "precious").read_text() == SECRET


@pytest.mark.parametrize("way", ["absolute", "upwards", "upwards from inside"])
def test_an_id_becomes_no_part_of_a_path_before_it_is_checked(store: Store, victim: Path, way: str) -> None:
    """An id from Redis or from a message becomes no part of a path before it is checked."""
    # Given somebody who writes a feature into Redis whose id is a way to a folder, which even carries our mark
    (victim / private.MARK).write_text(store.identity)
    up = f"../../../{victim.name}"
    feature_id = {"absolute": str(victim), "upwards": up, "upwards from inside": f"x/../{up}"}[way]
    is_over(store, feature_id)

    # When an operator prunes, or forgets it by its name; or a worker cleans up
    assert prune("--dry-run").get("folders", []) == prune().get("folders", []) == []
    is_over(store, feature_id)
    Client(configuration.load()).forget(feature_id)

    # Then the folder is as it was; and such an id is refused, or encoded: it leads nowhere else
    assert is_safe(victim)
    for ids in ((feature_id, "T1"), ("f1", feature_id), ("f1", f"@{feature_id}")):
        try:
            named = log_file(configuration.load(), *ids, attempt=1)
        except errors.InvalidId:
            continue
        assert len(named.relative_to(configuration.load().log_folder).parts) == 2
        assert ".." not in named.parts
    with pytest.raises(errors.InvalidId):
        log_file(configuration.load(), up, "T1", attempt=1)
    (victim / "precious.1.log").write_text(SECRET)
    ids = ("f1", f"{victim}/precious")
    Tails(configuration.load(), store).look([(*ids, 1)])
    assert store.events.tail(*ids) is None


def test_a_folder_that_no_attempt_has_made_is_not_removed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder that `logs` names, a folder that was there before is never removed."""
    # Given `logs: /var/log`, and features whose names are those of the folders there
    logs = tmp_path / "var-log"
    settings = shared(monkeypatch, logs)
    for name in ("nginx", "postgresql", "journal"):
        (logs / name).mkdir()
        (logs / name / "precious").write_text(SECRET)
        worked(settings, store, name)
        is_over(store, name)

    # When their features are forgotten, and a worker removes what is left
    said, done = prune("--dry-run"), prune()
    assert {name: value for name, value in said.items() if name != "dry_run"} == done
    folders.remove(settings, store, folders.orphans(settings, store, -1.0))

    # Then only what the attempts have made in the project's own folder is gone
    assert {Path(folder).parent.name for folder in done.get("folders", [])} == {"work"}
    assert all(is_safe(logs / name) for name in ("nginx", "postgresql", "journal"))


def test_two_projects_with_one_folder_of_logs_leave_each_other_alone(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several projects may share a folder of logs: each removes its own alone."""
    other, settings = new_store(), shared(monkeypatch, tmp_path / "logs")
    mine, _ = worked(settings, store, "mine")
    theirs, _ = worked(settings, other, "theirs")
    for name in ("mine", "theirs"):
        is_over(store, name)  # a user who can write to our Redis may well know the feature

    assert str(mine) in prune().get("folders", [])
    assert not mine.exists()
    assert theirs.is_dir()


def test_a_folder_of_two_projects_with_features_of_one_id_stays(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features of one id in two projects that share a folder of logs write into one folder, which stays."""
    other, settings = new_store(), shared(monkeypatch, tmp_path / "logs")
    logs, work = worked(settings, store, "nightly")
    worked(settings, other, "nightly")
    worked(settings, store, "nightly")
    is_over(store, "nightly")

    assert prune().get("folders", []) == []
    assert [folders.removable(settings, one, "nightly") for one in (store, other)] == [[], []]
    assert logs.is_dir()
    assert work.is_dir()
    assert (logs / private.MARK).read_text().split() == [store.identity, other.identity]


@pytest.mark.parametrize("identity", ["", "x", "*"])
def test_no_identity_from_redis_makes_other_folders_ours(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, identity: str
) -> None:
    """A file of the name alone is no mark."""
    settings = shared(monkeypatch, tmp_path / "logs")
    theirs = tmp_path / "logs" / "theirs"
    theirs.mkdir()
    (theirs / private.MARK).write_text(identity)
    is_over(store, "theirs")
    store.client.set(store.keys.identity, identity)

    assert prune().get("folders", []) == []
    assert folders.removable(settings, store, "theirs") == []
    assert theirs.is_dir()


def the_folder(folder: Path, victim: Path) -> None:
    (folder / private.MARK).rename(victim / private.MARK)
    folder.rename(folder.with_name(".aside"))
    folder.symlink_to(victim)


def a_folder_in_it(folder: Path, victim: Path) -> None:
    (folder / "T1.1.d").symlink_to(victim)


def a_file_in_it(folder: Path, victim: Path) -> None:
    (folder / "T1.1.txt").symlink_to(victim / "precious")


def the_mark(folder: Path, victim: Path) -> None:
    (folder / private.MARK).rename(victim / private.MARK)
    (folder / private.MARK).symlink_to(victim / private.MARK)


@pytest.mark.parametrize("lay", [the_folder, a_folder_in_it, a_file_in_it, the_mark])
def test_no_link_is_followed_where_folders_are_removed(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    victim: Path,
    lay: Callable[[Path, Path], None],
) -> None:
    """Folders are removed one inside the other, and no link is followed."""
    settings = shared(monkeypatch, tmp_path / "logs")
    logs, _ = worked(settings, store, "f1")
    lay(logs, victim)
    is_over(store, "f1")

    prune()
    folders.remove(settings, store, [logs])

    assert is_safe(victim)


@pytest.mark.parametrize("root", ["logs", "work"])
def test_a_root_that_came_as_a_link_is_left_alone(store: Store, victim: Path, root: str) -> None:
    """`logs` and `work` in a `.taskorchestrator` may not be links: nothing is marked or removed behind one."""
    # Given a repository of somebody else whose folder leads out of it, to a folder that has an id as its name
    (Path(FOLDER) / root).symlink_to(victim.parent)
    settings = configuration.load()

    # When a feature of that id was worked on, and is forgotten
    folders.mark(settings, store, victim.name)
    is_over(store, victim.name)
    prune()

    assert is_safe(victim)
    assert not (victim / private.MARK).exists()


def test_what_is_deep_or_read_only_is_removed_and_nothing_above_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder is removed whatever an attempt has put into it."""
    # Given a work folder deeper than Python recurses and longer than a path may be, and a read-only cache
    settings = configuration.load()
    _, work = worked(settings, store, "f1")
    here = os.open(work / "T1.1", os.O_RDONLY)
    for _ in range(1_500):
        os.mkdir("nested", dir_fd=here)
        here, above = os.open("nested", os.O_RDONLY, dir_fd=here), here
        os.close(above)
    os.close(here)
    cache = work / "T1.1" / "cache" / "module"
    cache.mkdir(parents=True)
    (cache / "file").write_text("x")
    for folder in (cache, cache.parent):
        folder.chmod(0o500)
    is_over(store, "f1")

    try:
        prune()

        assert not work.exists()
        assert work.parent.is_dir()
    finally:
        subprocess.run(["rm", "-rf", work], check=True)  # pytest itself cannot remove what is so deep


@as_root
@pytest.mark.parametrize("what", ["a disk", "a folder"])
@pytest.mark.parametrize("place", ["T1.1", "T1.1/deeper", "T1.1/deeper/still"])
def test_what_is_mounted_there_stays(
    store: Store, victim: Path, place: str, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In a folder that is removed, what is mounted there stays, also a folder of the same disk (`mount --bind`)."""
    settings = configuration.load()
    logs, work = worked(settings, store, "f1")
    target = work / place
    target.mkdir(parents=True, exist_ok=True)
    kind = ["-t", "tmpfs", "x"] if what == "a disk" else ["--bind", str(victim)]
    if subprocess.run(["mount", *kind, str(target)], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        (target / "precious").write_text(SECRET)
        target.chmod(0o755)

        folders.remove(settings, store, [logs, work])

        (target,) = [
            found.parent for found in work.rglob("precious")
        ]  # the folder above it may have moved up
        assert not logs.exists()
        assert is_safe(target)
        assert stat.S_IMODE(target.stat().st_mode) == 0o755
        assert f"{work} could not be removed completely: another file system is mounted at" in caplog.text
    finally:
        subprocess.run(["umount", target], check=True)

    # And it is removed as soon as nothing is mounted there any more
    folders.remove(settings, store, [work])
    assert not work.exists()


def test_each_removal_is_told_in_the_log(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each removal is a line in the worker's log, also of one that is started without `--loglevel`."""
    monkeypatch.setattr(logging.getLogger("orchestrator"), "level", logging.WARNING)
    settings = configuration.load()
    logs, work = worked(settings, store, "gone")
    cleaner = Cleaner(settings.model_copy(update={"retention": settings.retention}), store)

    folders.remove(cleaner.settings, store, folders.orphans(settings, store, -1.0))

    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    assert told == [f"{path} is removed: its feature is forgotten" for path in (logs, work)]


def test_what_cannot_be_removed_is_told_and_keeps_its_mark(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder that cannot be removed stays ours, and is tried again."""
    settings = configuration.load()
    logs, _ = worked(settings, store, "gone")
    unlink = os.unlink

    def refuse(name: str, **more: int) -> None:
        if name == "T1.1.log":
            raise PermissionError(1, "Operation not permitted")
        unlink(name, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        folders.remove(settings, store, [logs])
    assert f"{logs} could not be removed completely: Operation not permitted" in caplog.text
    assert folders.orphans(settings, store, -1.0, most=1) == [logs]

    folders.remove(settings, store, [logs])
    assert not logs.exists()


def test_a_dry_run_says_what_the_run_does(store: Store) -> None:
    """`prune --dry-run` names the features and folders that `prune` then removes."""
    # Given what is over, what only seems so in the index, what nobody can read, and more of that than one portion
    settings = configuration.load()
    for number in range(60):
        store.client.zadd(store.keys.finished, {f"open-{number}": 1})
        store.client.hset(store.keys.feature(f"open-{number}").meta, "status", "in-development")
    store.client.set(store.keys.feature("broken").meta, "x")
    store.client.zadd(store.keys.finished, {"broken": 2})
    for name in ("old", "older"):
        worked(settings, store, name)
        store.client.hset(store.keys.feature(name).meta, mapping={"status": "completed", "finished": 1})
        store.client.zadd(store.keys.finished, {name: 3})
    running = factories.feature(task("T1"))
    store.enqueue("running", planner.plan(running), routing.route(running, Settings()))
    worked(settings, store, "running")

    said, done = prune("--dry-run"), prune()

    assert {name: value for name, value in said.items() if name != "dry_run"} == done
    assert done["features"] == ["old", "older"]
    assert {Path(folder).name for folder in done.get("folders", [])} == {"old", "older"}


EVERY_FOLDER_AND_FILE = """
import os, sys
from pathlib import Path
os.umask(int(sys.argv[1], 8))
from orchestrator.config import configuration
from orchestrator.state import embedded, folders
from orchestrator.local import processes
from orchestrator.model.task import Task
from orchestrator.config.schema.limits import Limits
from orchestrator.specialists.command import CommandRunner
from orchestrator.specialists.context import Context, FeatureHead
from orchestrator.engine.attempt_files import AttemptFiles
settings = configuration.load()
with embedded.Server(settings.folder), processes._output(settings.folder / "logs" / "worker.log"):
    files = AttemptFiles(settings, "f1", "T1", 1)
    context = Context(task=Task(id="T1"), feature=FeatureHead(id="f1", title="F"), attempt=1, specialist="s",
        title="S", workdir=files.workdir, log_file=files.log)
    CommandRunner(("echo", "done"), Limits(), project=Path.cwd()).perform(context)
    configuration.remember(["artwork"], "senior-engineer", settings)
    for path in [settings.folder, *settings.folder.rglob("*")]:
        if not path.is_symlink():
            print(oct(path.lstat().st_mode & 0o7777), path.relative_to(Path.cwd()), path.is_dir())
"""


@pytest.mark.real
@pytest.mark.parametrize("umask", ["000", "002"])
def test_all_that_is_made_is_for_its_owner_alone(tmp_path: Path, umask: str) -> None:
    """What is made in `.taskorchestrator` is for its owner alone, whatever the umask: 0700 and 0600."""
    command = [sys.executable, "-c", EVERY_FOLDER_AND_FILE, umask]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    found = [line.split() for line in made.splitlines()]
    names = {name for _, name, _ in found}
    assert {f"{FOLDER}/config.yaml", f"{FOLDER}/redis/redis.log", f"{FOLDER}/logs/f1/T1.1.log"} <= names
    assert [line for line in found if line[0] != ("0o700" if line[2] == "True" else "0o600")] == []


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o702])
@pytest.mark.parametrize("what", ["folder", "configuration"])
def test_a_folder_that_others_can_write_is_refused_with_the_remedy(
    store: Store, mode: int, what: str
) -> None:
    """A `.taskorchestrator`, or a configuration in it, that others can write is refused, with what mends it."""
    folder = Path(FOLDER)
    (folder / "config.yaml").write_text("parallelism: {max_parallel_tasks: 3}\n")
    (folder if what == "folder" else folder / "config.yaml").chmod(mode)

    for command in (["status"], ["run", "x.yaml"], ["doctor"], ["prune"]):
        refused = CliRunner().invoke(app, command)
        assert isinstance(refused.exception, errors.OpenToOthers) or refused.exit_code == 2, refused.output
    with pytest.raises(errors.OpenToOthers, match="can be written by others") as caught:
        configuration.load()

    # And the remedy is one
    remedy = str(caught.value).rpartition("then: ")[2]
    subprocess.run(remedy.split(), check=True)
    assert configuration.load().parallelism.max_parallel_tasks == 3


@as_root
def test_the_folder_of_another_user_is_not_ours_behind_a_link_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `.taskorchestrator` that another user has laid above ours is passed over."""
    (tmp_path / "mine" / FOLDER).mkdir(parents=True)
    (tmp_path / "tmp" / "here").mkdir(parents=True)
    link = tmp_path / "tmp" / FOLDER
    link.symlink_to(tmp_path / "mine" / FOLDER)
    os.lchown(link, ANOTHER_USER, ANOTHER_USER)
    monkeypatch.chdir(tmp_path / "tmp" / "here")

    assert find_folder() == tmp_path / "tmp" / "here" / FOLDER


def context_of(settings: Settings) -> Context:
    _, work = folders.of(settings, "f1")
    return Context(
        task=Task(id="T1"),
        feature=FeatureHead(id="f1", title="F"),
        attempt=1,
        specialist="s",
        title="S",
        workdir=work / "T1.1",
        log_file=log_file(settings, "f1", "T1", 1),
    )


@pytest.mark.parametrize("place", ["the folder", "the log"])
def test_a_log_is_not_written_through_a_link(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: Path, place: str
) -> None:
    """A log is neither written nor read through a link that somebody has laid."""
    settings = shared(monkeypatch, tmp_path / "logs")
    log = log_file(settings, "f1", "T1", 1)
    if place == "the folder":
        (victim / log.name).write_text(SECRET)
        log.parent.symlink_to(victim)
    else:
        log.parent.mkdir(mode=0o700)
        log.symlink_to(victim / "precious")

    # When an attempt wants to write there, and its worker to read
    command = ("sh", "-c", "echo overwritten")
    outcome = CommandRunner(command, settings.limits, project=Path.cwd()).perform(context_of(settings))
    Tails(settings, store).look([("f1", "T1", 1)])

    # Then it fails with the cause, and nothing has left its place
    assert outcome.status == "failed"
    laid = log.parent if place == "the folder" else log
    assert outcome.reason.startswith(f"cannot write {laid}: it is a link")
    assert all(file.read_text() == SECRET for file in victim.iterdir())
    assert store.events.tail("f1", "T1") is None
    with pytest.raises(OSError, match="it is a link"):
        read(log, 1, ())


@pytest.mark.parametrize("place", ["the folder", "the log"])
def test_a_log_is_not_shown_through_a_link(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: Path, place: str
) -> None:
    """`orchestrator logs` shows a file of a folder of logs, and none that a link leads to."""
    settings = shared(monkeypatch, tmp_path / "logs")
    run = launched(store, task("T1"), feature_id="f1")
    run.start("T1")
    log = log_file(settings, "f1", "T1", 1)
    (victim / log.name).write_text(SECRET)
    if place == "the folder":
        log.parent.symlink_to(victim)
    else:
        log.parent.mkdir()
        log.symlink_to(victim / log.name)

    shown = CliRunner().invoke(app, ["logs", "f1", "T1"])

    assert SECRET not in shown.output
    assert "There is no output of attempt 1" in shown.output


def test_an_outcome_is_not_read_through_a_link(
    store: Store, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outcome file that is a link is no outcome."""
    settings = configuration.load()
    (victim / "precious").write_text('"a value that only the worker may read"')
    command = ("sh", "-c", f'ln -s {victim}/precious "$ORCHESTRATOR_OUTCOME_FILE"')

    outcome = CommandRunner(command, settings.limits, project=Path.cwd()).perform(context_of(settings))

    assert outcome.status == "failed"
    assert outcome.reason == "the outcome file cannot be used: it is a link, or no ordinary file"


def test_secrets_are_not_masked_through_a_link(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: Path
) -> None:
    """What hides secrets in a log writes into no other file."""
    log = tmp_path / "logs" / "T1.1.log"
    with AttemptLog.open(log) as opened:
        opened.file.write(b"nobody else")
        log.rename(log.with_name("aside"))
        log.symlink_to(victim / "precious")
        opened.mask(["nobody else"])

    assert is_safe(victim)


@pytest.mark.parametrize("place", ["own", "shared"])
def test_the_folders_of_an_attempt_that_is_killed_are_found(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """A folder has the mark of its state from the moment when it is made, so no kill leaves it behind."""
    settings = shared(monkeypatch, tmp_path / "shared") if place == "shared" else configuration.load()
    context = dataclasses.replace(context_of(settings), owner=folders.owner(store))
    command = ("cat", f"../{private.MARK}", str(context.log_file.parent / private.MARK))

    CommandRunner(command, settings.limits, project=Path.cwd()).perform(context)

    assert context.log_file.read_text().split() == [store.identity] * 2
    assert len(folders.removable(settings, store, context.feature.id)) == 2


@as_root
@pytest.mark.parametrize("place", ["the folder", "the log"])
def test_a_log_is_not_written_into_what_another_user_has_made(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """In a shared folder, what another user has made in the place of a log is not written."""
    settings = shared(monkeypatch, tmp_path / "logs")
    log = log_file(settings, "f1", "T1", 1)
    log.parent.mkdir(mode=0o700)
    log.touch()
    theirs = log.parent if place == "the folder" else log
    os.chown(theirs, ANOTHER_USER, ANOTHER_USER)

    with pytest.raises(PermissionError, match="it belongs to another user"):
        AttemptLog.open(log)
    assert log.read_bytes() == b""
    folders.mark(settings, store, "f1")
    assert not (log.parent / private.MARK).exists()


def test_a_share_that_gives_all_files_to_one_user_holds_logs_only_for_that_one(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share that gives all files to one user (NFS with `all_squash`) holds logs only for that one."""
    settings = shared(monkeypatch, tmp_path / "logs")
    log = log_file(settings, "f1", "T1", 1)
    with AttemptLog.open(log):  # the one
        pass
    monkeypatch.setattr(os, "geteuid", lambda: ANOTHER_USER)  # and another: what it makes is the first one's
    for one in (log, log_file(settings, "f2", "T1", 1)):
        with pytest.raises(PermissionError, match="it belongs to another user"):
            AttemptLog.open(one)


def test_a_log_that_was_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    """A log from before is for its owner alone as soon as it is added to."""
    log = tmp_path / "T1.1.log"
    log.touch(0o666)
    log.chmod(0o666)
    with AttemptLog.open(log):
        assert stat.S_IMODE(log.stat().st_mode) == 0o600


@pytest.mark.real
@pytest.mark.parametrize("runtime", ["none", "another user's"])
def test_nobody_can_take_the_place_of_a_socket_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    """Where a folder's path is too long for a socket, it is in a folder of a name that nobody can know before."""
    binaries = find_binaries()
    if not binaries:
        pytest.skip("needs a redis-server")
    folder = tmp_path / ("long" * 40) / FOLDER
    server = embedded.Server(folder, str(binaries[0]))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with tempfile.TemporaryDirectory() as elsewhere:
        # Given somebody who knows how the folder is called that is needed, and has made it first
        taken = Path(tempfile.gettempdir()) / server._short_name
        taken.touch()
        if runtime != "none":
            monkeypatch.setenv("XDG_RUNTIME_DIR", elsewhere)
            if os.geteuid() == 0:
                os.chown(elsewhere, ANOTHER_USER, ANOTHER_USER)
        try:
            # When the server is used, then it runs, and another process finds it
            with server:
                socket = server.socket.parent
                assert embedded.Server(folder).running() == server.url
                assert stat.S_IMODE(socket.stat().st_mode) == 0o700
                assert socket != taken
                if os.geteuid() == 0:
                    assert socket.parent != Path(elsewhere)
            assert not socket.exists()
        finally:
            taken.unlink()


@pytest.mark.real
def test_a_server_that_was_killed_leaves_no_second_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill the socket is in the same folder again."""
    binaries = find_binaries()
    if not binaries:
        pytest.skip("needs a redis-server")
    with tempfile.TemporaryDirectory() as elsewhere:
        monkeypatch.setenv("XDG_RUNTIME_DIR", elsewhere)
        with embedded.Server(tmp_path / ("long" * 40) / FOLDER, str(binaries[0])) as server:
            first = server.socket
            os.kill(int((server.home / "redis.pid").read_text()), signal.SIGKILL)
            server.use()
            assert server.socket == first
            assert [first.parent] == list(Path(elsewhere).iterdir())

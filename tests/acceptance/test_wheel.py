"""The wheel that a user installs: one package, which a project's own modules neither hide nor are hidden by."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from orchestrator.config.folder import FILE, FOLDER
from tests.redis_server import find_binaries
from workers import build_wheel

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel; its dependencies are those installed here."""
    folder = tmp_path_factory.mktemp("wheel")
    built = os.environ.get("WHEELS")  # CI has built it, for the image
    wheel = next(Path(built).glob("*.whl")) if built else build_wheel.build(folder / "dist")
    venv.create(folder / "venv", with_pip=False)
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    # As a line of a .pth file the folder's own .pth files are not read, and with them not our working copy.
    (packages / "here.pth").write_text(sysconfig.get_path("purelib"), "utf-8")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
        names = {name.partition("/")[0] for name in archive.namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"orchestrator"}
    return folder / "venv" / "bin" / "python"


def run(python: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [python, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_a_project_has_a_package_of_its_own_called_workers(python: Path, tmp_path: Path) -> None:
    # Given a project with a package of that name, in which a specialist is
    (tmp_path / "workers").mkdir()
    (tmp_path / "workers" / "__init__.py").write_text('"""my company\'s workers"""', "utf-8")
    (tmp_path / "workers" / "emails.py").write_text('def send(context): return "sent"', "utf-8")
    (tmp_path / "f.yaml").write_text("title: Mail\ntasks: [{id: m, tags: [mail]}]", "utf-8")
    settings = {
        "redis": {"redis_server": find_binaries()[0]},
        "specialists": {"mailer": {"python": "workers.emails:send"}},
        "specialist_routing": {"mapping": {"mail": "mailer"}},
    }
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / FILE).write_text(yaml.safe_dump(settings), "utf-8")

    # Then all that a user imports is there, Celery finds the app, and the feature runs
    imported = run(
        python, tmp_path, "-c", "from orchestrator import Blocked, Context, enqueue, specialist; "
        "import orchestrator, workers; print(orchestrator.__file__, workers.__doc__)",
    )  # fmt: skip
    assert imported.returncode == 0, imported.stderr
    assert str(python.parents[1]) in imported.stdout
    assert "my company's workers" in imported.stdout
    report = run(python, tmp_path, "-m", "celery", "-A", "orchestrator", "report")
    assert report.returncode == 0, report.stdout + report.stderr
    ran = run(python, tmp_path, "-m", "orchestrator", "run", "f.yaml", "--id", "mail")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "sent" in run(python, tmp_path, "-m", "orchestrator", "status", "mail").stdout


def test_the_doctor_names_a_file_that_hides_the_package(python: Path, tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / "orchestrator.py").write_text("", "utf-8")

    found = run(python, tmp_path, "-P", "-m", "orchestrator", "doctor")

    told = " ".join(found.stdout.split())
    assert "names" in told
    assert "hides the installed package orchestrator" in told
    assert str(tmp_path / "orchestrator.py") in told.replace(" ", "")


def test_the_programs_of_agents_are_in_the_wheel(python: Path, tmp_path: Path) -> None:
    code = (
        "from orchestrator.agents.runtimes import find; from orchestrator.config.settings import Settings; "
        "print(*(find(name, Settings()).command[0] for name in ('claude', 'codex', 'gemini', 'opencode')))"
    )

    assert run(python, tmp_path, "-c", code).stdout == "claude codex gemini opencode\n"

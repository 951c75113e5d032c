"""The audit reports known security holes, and does not claim that there are none if no service answered."""

from __future__ import annotations

import json
from typing import Any

from tests import audit
from tests.audit import Answer

HOLE = {"id": "PYSEC-2021-142", "aliases": ["CVE-2020-14343"], "fix_versions": ["5.4"]}


def answer(*dependencies: dict[str, Any]) -> Answer:
    return audit.read(json.dumps({"dependencies": dependencies, "fixes": []}))


def test_a_service_that_does_not_answer_is_told_as_that() -> None:
    """Where the service with the advisories does not answer, `make check` says that nothing was looked up."""
    silent = answer(
        {"name": "pyyaml", "skip_reason": "Dependency not found on PyPI and could not be audited"}
    )
    for known in (silent, None, answer({"name": "pyyaml", "version": "5.3", "vulns": []})):
        code, text = audit.verdict(known, answer({"name": "celery", "version": "5.7.0", "vulns": []}))
        assert code == 0
        assert "NOT RUN" in text


def test_a_known_hole_fails_the_check() -> None:
    known = answer({"name": "pyyaml", "version": "5.3", "vulns": [HOLE]})
    code, text = audit.verdict(known, answer({"name": "celery", "version": "4.0", "vulns": [HOLE]}))
    assert (code, "celery 4.0: PYSEC-2021-142" in text) == (1, True)
    assert audit.verdict(known, None)[0] == 1
    code, text = audit.verdict(known, answer({"name": "ours", "skip_reason": "unknown"}))
    assert (code, "Not known to it: ours" in text) == (0, True)


def test_a_hole_that_is_argued_is_none(monkeypatch: Any) -> None:
    monkeypatch.setattr(audit, "ARGUED", {"CVE-2020-14343": "only safe_load is used"})
    assert answer({"name": "pyyaml", "version": "5.3", "vulns": [HOLE]}).holes == ()

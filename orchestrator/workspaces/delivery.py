"""Delivers a feature: its integration branch goes where the project wants it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Literal

from orchestrator.model import errors, sanitizer
from orchestrator.model.fields import Model
from orchestrator.workspaces import git, names
from orchestrator.workspaces.repository import Repository

PATIENCE = 600.0
"""Seconds that a command has to deliver."""

TAIL = 1_000
"""Characters of a command's output in the error."""


class Delivered(Model):
    """Where the work of a feature is now."""

    branch: str
    commit: str


def deliver(
    repository: Repository,
    feature: str,
    how: Literal["branch", "fast-forward"] | Sequence[str],
    *,
    base: str = "main",
    patience: float = PATIENCE,
) -> Delivered:
    """Deliver a feature. Repeated, it answers the same; a command is run again.

    Args:
        repository: The project's repository.
        feature: The id of the feature.
        how: "branch": it stays on its integration branch. "fast-forward": the base branch moves to it. Else a command,
            which runs in the project's folder and finds ORCHESTRATOR_BRANCH, ORCHESTRATOR_COMMIT, ORCHESTRATOR_BASE and
            ORCHESTRATOR_FEATURE in its environment.
        base: The branch that the feature started from; HEAD: the one that is checked out in the project.
        patience: Seconds that the command has.

    Raises:
        NoSuchCommit: The feature has no integration branch.
        CannotDeliver: The base branch has other commits, or is checked out; or the command failed.

    Example:
        deliver(repository, "auth", ["gh", "pr", "create", "--fill", "--head", "to/auth/integration"])
    """
    ref = names.integration(feature)
    commit = repository.resolve(ref)
    branch = names.short(ref)
    if base == "HEAD":
        head = git.run(repository.folder, "symbolic-ref", "--quiet", "--short", "HEAD", ok=(0, 1, 128)).line
        base = head or base
    if how == "branch":
        return Delivered(branch=branch, commit=commit)
    if how == "fast-forward":
        _fast_forward(repository, branch, commit, base)
        return Delivered(branch=base, commit=commit)
    variables = {
        "ORCHESTRATOR_FEATURE": feature,
        "ORCHESTRATOR_BRANCH": branch,
        "ORCHESTRATOR_COMMIT": commit,
        "ORCHESTRATOR_BASE": base,
    }
    if reason := _trouble_of_command(repository, how, variables, patience):
        raise errors.CannotDeliver(branch=branch, base=base, reason=reason)
    return Delivered(branch=branch, commit=commit)


def _fast_forward(repository: Repository, branch: str, commit: str, base: str) -> None:
    ref = f"refs/heads/{base}"
    old = repository.tip(ref)
    reason = ""
    if not old:
        reason = f"there is no branch {base} here."
    elif repository.is_ancestor(commit, old):
        return
    elif not repository.is_ancestor(old, commit):
        reason = f"{base} has commits that {branch} lacks, so it is no fast-forward."
    elif tree := repository.worktree_of(ref):
        reason = f"{base} is checked out in {tree.folder}, and its files would no longer match it."
    if reason:
        raise errors.CannotDeliver(branch=branch, base=base, reason=reason)
    repository.git("update-ref", "-m", f"task-orchestrator: deliver {branch}", ref, commit, str(old))


def _trouble_of_command(
    repository: Repository, command: Sequence[str], variables: dict[str, str], patience: float
) -> str:
    """Run the command; why it did not deliver, or ""."""
    try:
        done = subprocess.run(
            command,
            cwd=repository.folder,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} was not done after {patience:g} s."
    except OSError as error:
        return f"{command[0]} cannot be run: {error.strerror}."
    if not done.returncode:
        return ""
    tail = sanitizer.as_text(done.stdout.decode("utf-8", "replace"), TAIL).strip()
    return f"{command[0]} ended with {done.returncode}: {tail}"

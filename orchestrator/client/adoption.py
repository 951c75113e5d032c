"""Canvases of Celery's, as features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery import Celery, Signature

    from orchestrator.model.celery_counts import CeleryCounts
    from orchestrator.model.feature import Feature


def adopt(
    canvas: Signature[Any],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    title: str = "",
    id: str | None = None,
    app: Celery | None = None,
) -> Feature:
    """The feature that a canvas of Celery's means: a chain, group, chord, map or chunks, however they are nested.

    Args:
        canvas: The canvas, or the signature of one task.
        args, kwargs: The arguments of `apply_async`, for the tasks that begin it.
        title: The title; "": the canvas as Celery writes it.
        id: The id; None: one is made up.
        app: The Celery app of its tasks; None: that of the canvas.

    Raises:
        NotAFeature: A part of it cannot be carried over. The error names it.

    Example:
        feature = adopt(chain(fetch.s(url), group(parse.s(), index.s()), report.s()))
    """
    from orchestrator.engine import canvas_reader  # late: it brings Celery

    return canvas_reader.read(canvas, app or canvas.app, args, kwargs, title=title, feature_id=id)


def rehearse(
    canvas: Signature[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
) -> CeleryCounts:
    """How often Celery itself would run each task of a canvas, with the faults of the installed version.

    Celery runs it in this process, with tasks that do nothing: nothing is sent.

    Args:
        canvas: The canvas.
        args, kwargs: The arguments of `apply_async`.

    Example:
        >>> from celery import Signature, chain
        >>> rehearse(chain(Signature("fetch"), Signature("parse"))).total
        2
    """
    from orchestrator.engine import rehearsal  # late: it brings Celery

    return rehearsal.rehearse(canvas, args, kwargs)


def as_feature(given: Feature | Signature[Any], app: Celery | None = None) -> Feature:
    """A feature as it is; a canvas as the feature that it means."""
    return adopt(given, app=app) if isinstance(given, dict) else given

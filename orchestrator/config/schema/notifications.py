"""The section of notifications: which events are sent where."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator, model_validator

from orchestrator.config import urls
from orchestrator.config.schema.section import PASS_ENV, Section, Variable
from orchestrator.model.fields import Seconds, Whole


class Notification(Section):
    """Which events are sent where. Exactly one of log, command and webhook."""

    events: tuple[str, ...] = Field(
        min_length=1,
        description="event names (work_failed, …), needs-person, failures, milestones, or * for all",
    )
    log: bool = Field(default=False, description="write a line to the worker's log")
    command: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="argument list to run; it gets the event as JSON on its input"
    )
    pass_env: tuple[Variable, ...] = Field(default=(), description=PASS_ENV)
    webhook: SecretStr | None = Field(default=None, description="URL that gets the event as JSON by POST")
    secret: SecretStr | None = Field(default=None, description="key of the webhook's signature; never shown")
    timeout: Seconds = Field(default=10.0, description="a try takes no longer")
    tries: Whole = Field(
        default=5, ge=1, le=100, description="tries before an event is given up, with a log line"
    )

    @model_validator(mode="after")
    def _one_way(self) -> Notification:
        if sum(map(bool, (self.log, self.command, self.webhook))) != 1:
            raise ValueError("needs exactly one of log, command and webhook")
        return self

    @field_validator("webhook")
    @classmethod
    def _is_a_web_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            urls.check(value.get_secret_value(), schemes=("https", "http"))
        return value

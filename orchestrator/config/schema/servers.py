"""Sections about servers: Redis, the broker, and how messages are signed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from orchestrator.config import urls
from orchestrator.config.schema.section import Section
from orchestrator.config.urls import RedisUrl
from orchestrator.model.fields import Whole


class RedisSettings(Section):
    """Where the state is kept. Without a url, a private redis-server runs for this folder."""

    url: SecretStr | None = Field(
        default=None,
        description="where it is: redis://host:6379/0, rediss://…, unix:///path, sentinel://host:26379/mymaster, or "
        "memory:// (in this process, for tests); never shown",
    )
    replicas: Whole = Field(
        default=0,
        ge=0,
        le=100,
        description="replicas that have an outcome, and a new feature, before it counts (WAIT)",
    )
    prefix: str = Field(
        default="to", pattern=r"^[A-Za-z0-9_.\-]{1,32}$", description="the first part of every key"
    )
    allow_eviction: bool = Field(
        default=False, description="workers start with a Redis that throws keys away when its memory is full"
    )
    redis_server: str | None = Field(
        default=None, description="path of the redis-server to run when url is not set"
    )

    @field_validator("url")
    @classmethod
    def _is_a_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            urls.read(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _has_replicas(self) -> RedisSettings:
        if self.replicas and self.url is None:
            raise ValueError("replicas is set, but the private Redis has none; set url too")
        return self

    @property
    def server(self) -> RedisUrl | None:
        """The url, read."""
        return urls.read(self.url.get_secret_value()) if self.url else None

    @property
    def memory(self) -> RedisUrl | None:
        """The url, read, if it is one of a Redis in the memory of this process, which ends with it."""
        return self.server if self.server and self.server.is_in_memory else None

    @property
    def is_in_memory(self) -> bool:
        """It lies in the memory of this process."""
        return self.memory is not None


class Signing(Section):
    """Paths of what messages are signed with, and whose signatures are accepted. See docs/how-to/secure.md."""

    key: Path = Field(description="private key of the sender, PEM without a password")
    certificate: Path = Field(description="certificate of that key, PEM")
    store: str = Field(description="certificates of all whose messages are accepted, such as /etc/keys/*.crt")


class BrokerSettings(Section):
    """Where Celery's messages go: by default to the Redis that keeps the state."""

    url: SecretStr | None = Field(
        default=None, description="a Redis as in redis.url, or any broker URL that Celery knows; never shown"
    )
    signing: Signing | None = Field(
        default=None, description="key, certificate and store: messages are signed, and others refused"
    )
    show: Literal["ids", "titles"] = Field(
        default="ids", description="how Celery's log, Flower and other monitors name a task that ended"
    )

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            text = value.get_secret_value()
            urls.read(text) if urls.is_redis(text) else urls.check(text)
        return value

    @property
    def server(self) -> RedisUrl | None:
        """The parsed URL, if it is that of a Redis."""
        text = self.url.get_secret_value() if self.url else ""
        return urls.read(text) if urls.is_redis(text) else None

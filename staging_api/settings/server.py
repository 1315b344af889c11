"""Settings of the processes: the database, the store, addresses, threads and time-outs."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from staging_api.database_url import normalized
from staging_api.settings.group import Seconds, SettingsGroup

DatabaseUrl = Annotated[str, AfterValidator(normalized)]


class ServerSettings(SettingsGroup):
    """The processes, their limits, and the places of their data."""

    database_url: DatabaseUrl = Field(
        "", description="PostgreSQL 15 to 18; empty: the embedded server, data under STAGING_HOME"
    )
    # LISTEN belongs to a session; a transaction pooler gives each transaction another session.
    database_direct_url: DatabaseUrl = Field(
        "",
        description=(
            "direct URL without a transaction pooler, for LISTEN; empty: the same as "
            "the database URL"
        ),
    )
    database_pool_size: int = Field(10, ge=1, le=500, description="connections per process")
    statement_seconds: Seconds = Field(30, description="timeout of one database statement")
    # A process that is frozen in a transaction would block others by its row locks.
    idle_transaction_seconds: Seconds = Field(
        60, description="longest idle time of a transaction before the database ends it"
    )
    home: Path = Field(
        Path("var"), description="folder for the embedded database, staged files, temporary files"
    )
    store: str = Field(
        "",
        description=(
            "store of staged files: a folder, or s3://, gs://, az://; empty: "
            "file://$STAGING_HOME/static"
        ),
    )
    accel_prefix: str = Field(
        "",
        pattern="^(/.*/)?$",
        description="internal nginx location that serves the store's folder; empty: none",
    )
    bind: str = Field("127.0.0.1:8080", description="address and port of the API")
    probes_bind: str = Field(
        "", description="separate address and port for probes and metrics; empty: none"
    )
    workers: int = Field(2, ge=1, le=64, description="API processes of `staging-api serve`")
    threads: int = Field(
        64,
        ge=2,
        le=1000,
        description="concurrent requests per process, not counting waiting ones",
    )
    # A staging takes minutes: one in each thread would leave none for probes and files.
    long_requests: int = Field(
        0,
        ge=0,
        description=(
            "concurrent requests per process that may stage; others queue; 0: half of the threads"
        ),
    )
    waiters: int = Field(
        1000, ge=0, description="requests per process that may wait for a lock or a change"
    )
    wait_cap_seconds: Seconds = Field(60, description="longest `Prefer: wait=N` that is honoured")
    shutdown_seconds: Seconds = Field(
        30, description="time for running requests to finish after SIGTERM"
    )
    # A load balancer notices at its next check of `/readyz`, and sends requests until then.
    drain_seconds: Annotated[float, Field(ge=0)] = Field(
        0,
        description=("time after SIGTERM in which `/readyz` fails, and requests are still served"),
    )
    # A lease is renewed every third of its life; a shorter one would expire on a merely busy
    # machine.
    lease_seconds: Annotated[float, Field(ge=1, le=3600)] = Field(
        15,
        description=("lifetime of a lock without renewal; so long its work waits after a pod died"),
    )

    @field_validator("long_requests")
    @classmethod
    def _leaves_threads(cls, long_requests: int, given: ValidationInfo) -> int:
        if long_requests >= given.data.get("threads", long_requests + 1):
            raise ValueError("must be less than STAGING_THREADS, or staging stops all else")
        return long_requests

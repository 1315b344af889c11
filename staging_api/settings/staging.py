"""Settings of staging: catalogues, space, workers, and the devserver's clients."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from staging_api.settings.group import Seconds, SettingsGroup


class StagingSettings(SettingsGroup):
    """Catalogues, space, waits and workers of staging."""

    catalogue: str = Field(
        "",
        description=(
            "built-in catalogues or catalogue files, comma separated: "
            "prefix=catalogue, and one for all other archives"
        ),
    )
    quota_bytes: int = Field(
        0, ge=0, description="largest total size of all staged files; 0: the whole disk"
    )
    # Without a limit, the scrub would take the disk's bandwidth from stagings and downloads.
    scrub_bytes_per_second: int = Field(
        4 << 20,
        ge=0,
        description=("rate at which each worker reads the store again to detect damage; 0: never"),
    )
    upload_wait_seconds: Annotated[float, Field(ge=0)] = Field(
        600, description="longest wait for an archive that is still being uploaded; 0: none"
    )
    upload_poll_seconds: Seconds = Field(
        10, description="interval for polling such an archive, with a jitter of 50 %"
    )
    worker_jobs: int = Field(4, ge=1, le=100, description="concurrent stagings per worker process")
    worker_jobs_per_caller: int = Field(
        0,
        ge=0,
        le=100,
        description=(
            "concurrent stagings of one caller per worker process; 0: all, if no other caller waits"
        ),
    )
    # Devserver clients treat every refusal as final, so a second caller waits: `devserver.joining`.
    devserver_conflict: Literal["wait", "409"] = Field(
        "wait", description="response to a second caller of a devserver path: it waits, or gets 409"
    )
    devserver_waiters: int = Field(
        1000, ge=1, description="requests per process that may stage or wait on devserver paths"
    )
    devserver_wait_seconds: Seconds = Field(
        3600, description="longest wait on a devserver path; then the client retries"
    )
    stackwalk: Path | None = Field(
        None,
        description=("path of the program minidump_stackwalk, for symbolicate_dump; empty: none"),
    )
    worker_bind: str = Field(
        "", description="address and port of a worker's probes and metrics; empty: none"
    )

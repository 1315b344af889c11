"""Settings of staging: catalogues, space, workers, and the devserver's clients."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from staging_api.settings.group import Seconds, SettingsGroup


class StagingSettings(SettingsGroup):
    """What is staged, how much, and for whom."""

    catalogue: str = Field(
        "",
        description="built-in catalogues or files that list the artifacts of archives, comma"
        " separated: prefix=catalogue, and one for all others",
    )
    quota_bytes: int = Field(0, ge=0, description="space for all staged files; 0: the whole disk")
    # Without a limit, the scrub would take the disk's bandwidth from stagings and downloads.
    scrub_bytes_per_second: int = Field(
        4 << 20,
        ge=0,
        description="rate at which each worker reads the store again to find damage; 0: never",
    )
    upload_wait_seconds: Annotated[float, Field(ge=0)] = Field(
        600, description="the longest wait for an archive that is still being uploaded; 0: none"
    )
    upload_poll_seconds: Seconds = Field(
        10, description="interval of polling such an archive, more or less by half"
    )
    worker_jobs: int = Field(4, ge=1, le=100, description="stagings at once per worker process")
    worker_jobs_per_caller: int = Field(
        0,
        ge=0,
        le=100,
        description="how many of them for one caller; 0: all, if no other caller waits",
    )
    # Devserver clients treat every refusal as final, so a second caller waits: `devserver.joining`.
    devserver_conflict: Literal["wait", "409"] = Field(
        "wait", description="what a second caller of a devserver path gets: a wait, or 409"
    )
    devserver_waiters: int = Field(
        1000, ge=1, description="requests per process that may stage or wait on devserver paths"
    )
    devserver_wait_seconds: Seconds = Field(
        3600, description="the longest wait on a devserver path; then the client retries"
    )
    stackwalk: Path | None = Field(
        None, description="the program minidump_stackwalk, for symbolicate_dump; empty: none"
    )
    worker_bind: str = Field(
        "", description="address and port of a worker's probes and metrics; empty: none"
    )

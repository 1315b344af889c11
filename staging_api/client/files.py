"""Calls that fetch files of the service to this machine."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from os import PathLike, fspath
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from staging_api.client import download as downloading
from staging_api.client import fetching
from staging_api.client.artifacts import artifact, artifact_names, pin
from staging_api.client.blocking import BlockingCalls, BlockingConnections
from staging_api.client.calls import Calls
from staging_api.client.fetching import ATTEMPTS, EVICTED, Fetched, FetchOptions, FetchRequest
from staging_api.client.model import Staging
from staging_api.client.pacing import Deadline, OnRetry
from staging_api.client.stagings import stage, wait
from staging_api.errors import Conflict, Invalid, NotFound

if TYPE_CHECKING:
    from staging_api.client.transport import Transport


async def fetch(
    calls: Calls,
    /,
    staging: Staging,
    to: str | PathLike[str],
    *,
    artifacts: Sequence[str] | None = None,
    timeout: float = 3600.0,
    options: FetchOptions = FetchOptions(),  # noqa: B008 - frozen
) -> Fetched:
    """Fetch all files of a staging to a folder, including unpacked folders.

    Files that the folder has already are not fetched again; other files in the folder stay. Every
    file appears completely and verified, or not at all; if the process is killed, a later call
    continues.

    Args:
        staging: as returned by `stage`; the call waits until it is final.
        to: the folder; created if it is missing.
        artifacts: only these artifacts of the staging.
        timeout: seconds in all.
        options: number of connections, and callbacks.

    Raises:
        Cancelled: the staging was cancelled.
        NotFound: an artifact was evicted meanwhile: stage it again.
        ArchiveUnsafe: the name of a file leads out of the folder.
        ArchiveCorrupt: received bytes do not have the declared digest.
        Conflict: another process writes to the folder; or two names are one on its disk, which
            ignores case.
        DiskFailed: a file cannot be written.
        Invalid: `to` is empty.
        DeadlineOver: not done in time.
        StagingApiError: the staging failed; the class says why.
    """
    deadline, folder = Deadline(timeout), _path(to)
    if not staging.final:
        staging = await wait(calls, staging.id, timeout=timeout)
    names = staging.requested if artifacts is None else artifacts
    wanted = FetchRequest(staging.archive_url, names)
    return await _fetched_files(calls, wanted, folder, deadline, options)


async def get(
    calls: Calls,
    /,
    archive_url: str,
    artifacts: Sequence[str] | None = None,
    *,
    to: str | PathLike[str],
    upload_wait_seconds: float | None = None,
    timeout: float = 3600.0,
    on_retry: OnRetry | None = None,
    on_change: Callable[[Staging], None] | None = None,
    options: FetchOptions = FetchOptions(),  # noqa: B008 - frozen
) -> Fetched:
    """Stage artifacts of an archive, wait for all of them, and fetch their files to a folder.

    An artifact that is evicted while its files are fetched is staged again, a few times.

    Args:
        archive_url: the archive.
        artifacts: names or groups of the catalogue; None is the catalogue's ``default``.
        to: the folder; created if it is missing.
        upload_wait_seconds: as for `stage`.
        timeout: seconds in all.
        on_retry: as for `stage`.
        on_change: as for `wait`.
        options: as for `fetch`.

    Raises:
        StagingApiError: see `stage`, `wait` and `fetch`.
    """
    deadline, folder = Deadline(timeout), _path(to)
    for attempts_left in reversed(range(ATTEMPTS)):
        staging = await stage(
            calls,
            archive_url,
            artifacts,
            upload_wait_seconds=upload_wait_seconds,
            timeout=deadline.remaining_seconds(),
            on_retry=on_retry,
        )
        left = deadline.remaining_seconds()
        if not staging.final:
            staging = await wait(calls, staging.id, timeout=left, on_change=on_change)
        names = await artifact_names(calls, archive_url, artifacts)
        wanted = FetchRequest(staging.archive_url, names)
        try:
            return await _fetched_files(calls, wanted, folder, deadline, options)
        except EVICTED:
            if not attempts_left:
                raise
    raise AssertionError("the last attempt returns or raises")


@asynccontextmanager
async def borrow(
    calls: Calls,
    /,
    archive_url: str,
    artifacts: Sequence[str] | None = None,
    *,
    to: str | PathLike[str] | None = None,
    pin_seconds: float = 0.0,
) -> AsyncIterator[Path]:
    """Return a context manager that yields a folder with the files of artifacts.

    Args:
        archive_url: the archive.
        artifacts: names or groups of the catalogue; None is the catalogue's ``default``.
        to: a folder, which stays; None is a temporary one, removed at the end.
        pin_seconds: how long the artifacts are pinned at most, until the block ends; for operators.
            0: no pin. A longer pin of another caller stays, as does a pin that was set in the
            meantime.

    Raises:
        StagingApiError: see `get` and `pin`.
    """
    async with AsyncExitStack() as stack:
        if to is None:
            to = stack.enter_context(TemporaryDirectory(prefix="staging-"))
        fetched = await get(calls, archive_url, artifacts, to=to)
        if pin_seconds:
            until = datetime.now(UTC) + timedelta(seconds=pin_seconds)
            for artifact_id in fetched.artifact_ids:
                before = (await artifact(calls, artifact_id)).pinned_until
                # An expired pin is still recorded, and keeps nothing.
                if before is None or before < until:
                    ours = (await pin(calls, artifact_id, until)).pinned_until
                    stack.push_async_callback(_unpin, calls, artifact_id, ours, before)
        yield fetched.folder


async def download(
    calls: Calls,
    /,
    path: str,
    to: str | PathLike[str],
    *,
    sha256: str | None = None,
    timeout: float = 3600.0,
    on_bytes: downloading.OnBytes | None = None,
) -> Path:
    """Download a staged file, resuming an earlier attempt, even of another process.

    `to` appears atomically, after its digest was verified.

    Args:
        path: path below ``/static``, that is the `path` of an artifact; or its `url`.
        to: the file to write; replaced if it exists. Until it is complete, its bytes are in
            ``.<name>.<digest>.part`` beside it.
        sha256: expected digest, in hex; None trusts the digest that the service declares.
        timeout: seconds in all.
        on_bytes: called with the bytes received so far, and the total.

    Returns:
        `to`.

    Raises:
        NotFound: nothing is staged at the path.
        SourceChanged: the staged file does not have the digest `sha256`.
        ArchiveCorrupt: the received bytes do not have the declared digest.
        DiskFailed: the file cannot be written.
        Invalid: `to` is empty.
    """
    target = downloading.DownloadTarget(path, _path(to), sha256 or "")
    deadline = Deadline(timeout)
    reported = _stopping(on_bytes, deadline)

    def work(transport: "Transport") -> Path:
        return downloading.fetch(transport, target, deadline, reported)

    return await calls.connections.on_disk(work, deadline)


async def _unpin(
    calls: Calls, artifact_id: str, ours: datetime | None, before: datetime | None
) -> None:
    """Restore the pin from before ours, unless another caller has set one since.

    The API has no conditional unpin: a pin that is set between the check and the request is lost.
    """
    with suppress(Conflict, NotFound):  # our pin expires by itself
        if (await artifact(calls, artifact_id)).pinned_until == ours:
            lasts = before is not None and before > datetime.now(UTC)
            await pin(calls, artifact_id, before if lasts else None)


async def _fetched_files(
    calls: Calls,
    wanted: FetchRequest,
    to: Path,
    deadline: Deadline,
    options: FetchOptions,
) -> Fetched:
    stoppable = replace(options, on_bytes=_stopping(options.on_bytes, deadline))

    def work(transport: "Transport") -> Fetched:
        blocking = BlockingCalls(BlockingConnections(transport), calls.timeout)
        return fetching.fetch(blocking, wanted, to, deadline, stoppable)

    return await calls.connections.on_disk(work, deadline)


def _path(to: str | PathLike[str]) -> Path:
    """Return the target path; an empty text, as from an unset variable, is refused."""
    if not fspath(to):
        raise Invalid.field("to", "must not be empty; the current folder is .")
    return Path(to)


def _stopping(on_bytes: downloading.OnBytes | None, deadline: Deadline) -> downloading.OnBytes:
    """Return a callback that ends the work at its next bytes once its caller has been cancelled."""

    def reported(done: int, total: int) -> None:
        deadline.check()
        if on_bytes is not None:
            on_bytes(done, total)

    return reported

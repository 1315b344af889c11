"""Calls that fill, publish and copy the APT archives of a service."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from staging_api.client import exporting
from staging_api.client.blocking import BlockingCalls, BlockingConnections
from staging_api.client.calls import PAGE_SIZE, Calls, idempotency_key, read, understood, with_query
from staging_api.client.file_forms import FileForm
from staging_api.client.model import PublisherRun, Upload
from staging_api.client.pacing import Deadline, OnRetry
from staging_api.vocabulary.publishing import Operation

if TYPE_CHECKING:
    from staging_api.client.transport import Transport


async def create(
    calls: Calls, /, name: str, suites: Sequence[Mapping[str, Any]], **values: Any
) -> Mapping[str, Any]:
    """Create an APT archive.

    Args:
        name: the first segment below ``/archive``.
        suites: members of each suite; at least ``name``, usually ``components`` and
            ``architectures`` as well.
        values: further members, such as ``origin`` or ``forms``.

    Raises:
        Conflict: the name is taken.
        Invalid: a member is wrong.
    """
    body = {"name": name, "suites": list(suites), **values}
    return await calls.answer(dict, "POST", "/apt-archives", body)


async def upload(
    calls: Calls,
    /,
    archive: str,
    suite: str,
    files: Sequence[Path],
    *,
    component: str | None = None,
) -> list[Upload]:
    """Send packages: .deb, .udeb, and .dsc with the files that they list.

    The default of `component` is ``main``.

    Raises:
        DiskFailed: a file cannot be read.
        Invalid: a file became shorter while it was sent.
        PackageInvalid: none of the files is an acceptable package.
        Conflict: packages of these versions exist with another content.
        NotFound: there is no such archive.
    """
    form = FileForm(files)
    query = {"suite": suite, "component": component or None}
    path = with_query(f"/apt-archives/{quote(archive, '')}/uploads", query)
    reply = await calls.ask("POST", path, headers=form.headers, content=form)
    with understood():
        return [Upload.of(item) for item in reply.document["items"]]


async def publish(
    calls: Calls,
    /,
    operation: Operation,
    archive: str,
    *,
    timeout: float = 3600.0,
    on_retry: OnRetry | None = None,
    **options: Any,
) -> PublisherRun:
    """Run an operation of the publisher; return when it is done.

    Args:
        operation: such as ``publish-distro``.
        archive: name of the APT archive.
        timeout: seconds in all, including waits for another operation.
        on_retry: called before each wait with the reason and the seconds until the next try.
        options: such as ``careful=True`` or ``suites=["stable"]``.

    Raises:
        LockHeld: another operation ran all the time; `extra["publication"]` describes it.
        NotFound: there is no such archive.
        StagingApiError: the run failed; clients of the archive see no change.
    """
    reply = await calls.ask(
        "POST",
        "/publications",
        {"operation": operation, "archive": archive, "options": options},
        idempotency_key(),
        deadline=Deadline(timeout),
        on_retry=on_retry,
        queues=True,
    )
    return read(PublisherRun.of, reply)


async def publication(calls: Calls, /, publication_id: str) -> PublisherRun:
    """Return a publisher run as it is now.

    Raises:
        NotFound: there is no such run.
    """
    path = f"/publications/{quote(publication_id, '')}"
    return await calls.answer(PublisherRun.of, "GET", path)


def publications(
    calls: Calls, /, archive: str | None = None, *, page_size: int = PAGE_SIZE
) -> AsyncIterator[PublisherRun]:
    """Yield publisher runs, newest first, fetching pages as needed."""
    return calls.pages(PublisherRun.of, "/publications", {"archive": archive}, page_size)


def packages(calls: Calls, /, archive: str, **wanted: str) -> AsyncIterator[Mapping[str, Any]]:
    """Yield packages of an archive, published and past, in the order of their arrival.

    Args:
        archive: name of the APT archive.
        wanted: filters: ``suite``, ``package`` or ``state``.

    Raises:
        NotFound: there is no such archive.
    """
    path = f"/apt-archives/{quote(archive, '')}/packages"
    return calls.pages(dict, path, wanted)


async def remove(calls: Calls, /, archive: str, package_id: int, reason: str) -> Mapping[str, Any]:
    """Delete a package from its suite; clients see the change after the next run.

    Raises:
        NotFound: there is no such package in the archive.
        Conflict: the package has left the suite already, or the suite is immutable.
    """
    path = f"/apt-archives/{quote(archive, '')}/packages/{package_id}"
    return await calls.answer(dict, "DELETE", path, {"reason": reason})


def generations(calls: Calls, /, archive: str) -> AsyncIterator[Mapping[str, Any]]:
    """Yield the generations of an archive, newest first.

    Raises:
        NotFound: there is no such archive.
    """
    return calls.pages(dict, f"{_distribution(archive)}/generations", {})


async def go_back(
    calls: Calls,
    /,
    archive: str,
    generation_id: str,
    *,
    suites: Sequence[str] = (),
    reason: str = "",
) -> Mapping[str, Any]:
    """Show clients the packages of an older generation, until its suites' holds are lifted.

    Args:
        archive: name of the APT archive.
        generation_id: the older generation.
        suites: names of the suites that go back; empty for all.
        reason: for the record.

    Raises:
        NotFound: there is no such archive or generation.
        Invalid: there is no such suite.
        Conflict: the generation is no longer kept, or does not have the suite.
    """
    body = {"generation_id": generation_id, "suites": list(suites), "reason": reason}
    return await calls.answer(dict, "PATCH", _distribution(archive), body)


async def hold(calls: Calls, /, archive: str, suite: str, reason: str = "") -> Mapping[str, Any]:
    """Freeze a suite as clients see it now, whatever is published, until it is lifted.

    Raises:
        NotFound: there is no such archive or suite.
        Conflict: the suite was never published.
    """
    path = f"{_distribution(archive)}/holds/{quote(suite, '')}"
    return await calls.answer(dict, "PUT", path, {"reason": reason})


async def lift(calls: Calls, /, archive: str, suite: str) -> Mapping[str, Any]:
    """Lift a suite's hold: after the next run clients see its published packages again.

    Raises:
        NotFound: there is no such archive or suite.
        Conflict: the suite is not held.
    """
    return await calls.answer(dict, "DELETE", f"{_distribution(archive)}/holds/{quote(suite, '')}")


async def export(
    calls: Calls,
    /,
    archive: str,
    target: str | Path,
    *,
    timeout: float = 3600.0,
    on_file: Callable[[str], None] | None = None,
) -> int:
    """Update a copy, for nginx or a CDN, to the state that the service's clients see now.

    Files are written in an order in which readers always find the files that an index names: pool,
    by-hash, index files, InRelease last. If the process is killed, the next call continues. Nothing
    is removed: clients may still request files that are no longer named.

    Args:
        archive: name of the APT archive.
        target: root of the copy: a folder, created if missing; or ``s3://bucket/prefix`` or
            ``gs://bucket/prefix``, with credentials from the environment.
        timeout: seconds in all.
        on_file: called with the path of each file that was written.

    Returns:
        Number of files that were written.

    Raises:
        Invalid: the target cannot be used.
        NotFound: the archive was never published.
        Unavailable: the bucket failed.
    """
    deadline = Deadline(timeout)

    def work(transport: "Transport") -> int:
        return exporting.export(
            BlockingCalls(BlockingConnections(transport), calls.timeout),
            archive,
            target,
            deadline,
            on_file,
        )

    return await calls.connections.on_disk(work, deadline)


def _distribution(archive: str) -> str:
    return f"/distributions/{quote(archive, '')}"

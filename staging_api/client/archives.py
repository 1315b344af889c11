"""The APT archives of a service: fill, publish and copy them."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from staging_api.client import download
from staging_api.client.calls import API, PAGE_SIZE, Calls, idempotency_key, read, understood
from staging_api.client.copies import CopiedFile, copy_at
from staging_api.client.file_forms import FileForm
from staging_api.client.model import PublisherRun, Upload
from staging_api.client.pacing import Deadline, OnRetry
from staging_api.vocabulary.publishing import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

_POOL_PAGE_SIZE = 1000


class Archives:
    """The object behind `StagingClient.archives`; every method retries as the client's do."""

    def __init__(self, calls: Calls) -> None:
        """Share the client's connections."""
        self._calls = calls
        self._transport = calls.transport

    def create(
        self, name: str, suites: Sequence[Mapping[str, Any]], **values: Any
    ) -> Mapping[str, Any]:
        """Create an APT archive.

        Args:
            name: the first segment below ``/archive``.
            suites: the members of each; ``name`` at least, mostly ``components`` and
                ``architectures`` as well.
            values: further members, such as ``origin`` or ``forms``.

        Raises:
            Conflict: the name is taken.
            Invalid: a member is wrong.
        """
        body = {"name": name, "suites": list(suites), **values}
        return self._document("POST", "/apt-archives", body)

    def upload(
        self, archive: str, suite: str, files: Sequence[Path], *, component: str | None = None
    ) -> list[Upload]:
        """Send packages: .deb, .udeb, and .dsc with the files that they list.

        Without `component` they go to ``main``.

        Raises:
            OSError: a file cannot be read.
            Invalid: a file became shorter while it was sent.
            PackageInvalid: none of them is an acceptable package.
            Conflict: they exist with another content.
            NotFound: there is no such archive.
        """
        form = FileForm(files)
        query = urlencode({"suite": suite} | ({"component": component} if component else {}))
        reply = self._transport.exchange(
            "POST",
            f"{API}/apt-archives/{quote(archive, '')}/uploads?{query}",
            Deadline(self._calls.timeout),
            content=form,
            headers=form.headers,
        )
        with understood():
            return [Upload.of(item) for item in reply.document["items"]]

    def publish(
        self,
        operation: Operation,
        archive: str,
        *,
        timeout: float = 3600.0,
        on_retry: OnRetry | None = None,
        **options: Any,
    ) -> PublisherRun:
        """Run an operation of the publisher; return when it is done.

        Args:
            operation: which.
            archive: name of the APT archive.
            timeout: seconds in all, waits for another operation included.
            on_retry: called before each wait with the reason and the seconds until the next try.
            options: such as ``careful=True`` or ``suites=["stable"]``.

        Raises:
            LockHeld: another operation ran all the time; `extra["publication"]` describes it.
            NotFound: there is no such archive.
            StagingApiError: it failed; clients of the archive see no change.
        """
        reply = self._transport.exchange(
            "POST",
            f"{API}/publications",
            Deadline(timeout),
            body={"operation": operation, "archive": archive, "options": options},
            headers=idempotency_key(),
            on_retry=on_retry,
            queues=True,
        )
        return read(PublisherRun.of, reply)

    def publication(self, publication_id: str) -> PublisherRun:
        """Return a publisher run as it is now.

        Raises:
            NotFound: there is no such run.
        """
        path = f"/publications/{quote(publication_id, '')}"
        return self._calls.answer(PublisherRun.of, "GET", path)

    def publications(
        self, archive: str | None = None, *, page_size: int = PAGE_SIZE
    ) -> Iterator[PublisherRun]:
        """Yield publisher runs, newest first, fetching pages as needed."""
        return self._calls.pages(PublisherRun.of, "/publications", {"archive": archive}, page_size)

    def packages(self, archive: str, **wanted: str) -> Iterator[Mapping[str, Any]]:
        """Yield packages of an archive, published and past, in the order of their arrival.

        Args:
            archive: name of the APT archive.
            wanted: only those of this ``suite``, ``package`` or ``state``.

        Raises:
            NotFound: there is no such archive.
        """
        path = f"/apt-archives/{quote(archive, '')}/packages"
        return self._calls.pages(dict, path, wanted)

    def remove(self, archive: str, package_id: int, reason: str) -> Mapping[str, Any]:
        """Delete a package from its suite; clients see that after the next run.

        Raises:
            NotFound: there is no such package in the archive.
            Conflict: it has left the suite already, or the suite is immutable.
        """
        path = f"/apt-archives/{quote(archive, '')}/packages/{package_id}"
        return self._document("DELETE", path, {"reason": reason})

    def generations(self, archive: str) -> Iterator[Mapping[str, Any]]:
        """Yield the generations of an archive, newest first.

        Raises:
            NotFound: there is no such archive.
        """
        return self._calls.pages(dict, f"{_distribution(archive)}/generations", {})

    def go_back(
        self, archive: str, generation_id: str, *, suites: Sequence[str] = (), reason: str = ""
    ) -> Mapping[str, Any]:
        """Show clients the packages of an older generation, until its suites are lifted.

        Args:
            archive: name of the APT archive.
            generation_id: the older generation.
            suites: only these; empty for all.
            reason: for the record.

        Raises:
            NotFound: there is no such archive or generation.
            Invalid: there is no such suite.
            Conflict: the generation is no longer kept, or does not have the suite.
        """
        body = {"generation_id": generation_id, "suites": list(suites), "reason": reason}
        return self._document("PATCH", _distribution(archive), body)

    def hold(self, archive: str, suite: str, reason: str = "") -> Mapping[str, Any]:
        """Freeze a suite as clients see it now, whatever is published, until it is lifted.

        Raises:
            NotFound: there is no such archive.
            Invalid: there is no such suite.
            Conflict: it was never published.
        """
        path = f"{_distribution(archive)}/holds/{quote(suite, '')}"
        return self._document("PUT", path, {"reason": reason})

    def lift(self, archive: str, suite: str) -> Mapping[str, Any]:
        """Show clients what is published in a suite again, after the next run.

        Raises:
            NotFound: there is no such archive.
            Invalid: there is no such suite.
            Conflict: it is not held.
        """
        return self._document("DELETE", f"{_distribution(archive)}/holds/{quote(suite, '')}")

    def _document(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        document: Mapping[str, Any] = self._calls.ask(method, path, body).document
        return document

    def export(
        self,
        archive: str,
        target: str | Path,
        *,
        timeout: float = 3600.0,
        on_file: "Callable[[str], None] | None" = None,
    ) -> int:
        """Update a copy, for nginx or a CDN, to what clients of the service see now.

        Files are written in an order in which readers always find what an index names: pool,
        by-hash, index files, InRelease last. After a kill the next call continues. Nothing is
        removed: clients may still request files that are no longer named.

        Args:
            archive: name of the APT archive.
            target: root of the copy: a folder, created if missing; or ``s3://bucket/prefix`` and
                its likes, with credentials from the environment.
            timeout: seconds in all.
            on_file: called with the path of each file that was written.

        Returns:
            How many files were written.

        Raises:
            Invalid: the target cannot be used.
            NotFound: the archive was never published.
            Unavailable: the bucket failed.
        """
        copy, deadline, written = copy_at(target), Deadline(timeout), 0
        path = f"/distributions/{quote(archive, '')}/files"
        reply = self._calls.ask("GET", f"{path}?part=dists")
        with understood():
            dists = [CopiedFile.of(item) for item in reply.document["items"]]
            generation = f"/archive/{archive}@{reply.document['generation_id']}/"
        pool = self._calls.pages(CopiedFile.of, path, {"part": "pool"}, _POOL_PAGE_SIZE)
        for file in chain(pool, dists):
            if copy.has(file):
                continue
            copy.bring(file, partial(self._fetch, file, generation, deadline))
            written += 1
            if on_file is not None:
                on_file(file.path)
        for signature in _stale_signatures([file.path for file in dists]):
            copy.drop(signature)
        return written

    def _fetch(self, file: CopiedFile, generation: str, deadline: Deadline, to: Path) -> None:
        target = download.DownloadTarget(file.path, to, file.sha256, generation)
        download.fetch(self._transport, target, deadline)


def _distribution(archive: str) -> str:
    return f"/distributions/{quote(archive, '')}"


def _stale_signatures(named: Sequence[str]) -> Iterator[str]:
    """Yield signatures that an unsigned Release would make stale."""
    for path in named:
        if path.endswith("/Release"):
            for name in ("InRelease", "Release.gpg"):
                signature = path.removesuffix("Release") + name
                if signature not in named:
                    yield signature

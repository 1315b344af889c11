"""The client: one method per operation of the service."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlencode
from uuid import UUID, uuid4

from staging_api.client import download
from staging_api.client.archives import Archives
from staging_api.client.calls import API, PAGE_SIZE, Calls, idempotency_key, read, understood
from staging_api.client.documents import Documents
from staging_api.client.fetching import Fetched, FetchOptions, Wanted, fetch, staged_names
from staging_api.client.following import follow
from staging_api.client.lab import borrowed
from staging_api.client.model import Event, Lock, StagedArtifact, StagedFile, Staging
from staging_api.client.pacing import Deadline, OnRetry, Pacing
from staging_api.client.transport import Transport
from staging_api.client.waiting import Changes, has_reached
from staging_api.vocabulary.locks import Listed
from staging_api.vocabulary.staging import Until


class StagingClient:
    """A staging service, as its callers see it.

    Every method sends its request again, by the service's Retry-After, while the service is locked
    (409), unavailable (503) or out of reach, and raises the error of `staging_api.errors` that the
    last answer names. Threads may share a client; forked processes may not.

    Attributes:
        context_marker: the UUID sent with all requests of this client: the `reference_id` of their
            locks and stagings.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8080",
        *,
        token: str | None = None,
        timeout: float = 60.0,
        context_marker: UUID | None = None,
        pacing: Pacing | None = None,
    ) -> None:
        """Send nothing yet.

        Args:
            base_url: address of the service, with the path it is mounted at, if any.
            token: the caller's bearer token.
            timeout: seconds for a call, retries included, for methods without their own.
            context_marker: None makes a new one.
            pacing: when to try again.

        Raises:
            Invalid: `base_url` is not an HTTP address.
        """
        self.context_marker = context_marker or uuid4()
        headers = {"X-Context-Marker": str(self.context_marker), "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token.strip()}"
        self._transport = Transport(base_url, headers, pacing or Pacing())
        self._calls = Calls(self._transport, timeout)
        self.url = self._transport.base_url
        #: The APT archives that the service publishes.
        self.archives = Archives(self._calls)
        #: The configuration documents that the service keeps.
        self.documents = Documents(self._calls)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def stage(
        self,
        archive_url: str,
        artifacts: Sequence[str] | None = None,
        *,
        wait: bool = True,
        timeout: float = 3600.0,
        on_retry: OnRetry | None = None,
    ) -> Staging:
        """Stage artifacts of an archive; return once the foreground ones are staged.

        If they are staged already, or only background ones are not, the answer is the staging that
        did it; its `reference_id` is not this client's.

        Args:
            archive_url: the build, such as ``gs://builds/board/R17-1``.
            artifacts: names or groups of the catalogue; None is what its ``default`` says.
            wait: False returns as soon as the request is recorded; a worker does the work.
            timeout: seconds in all, waits for another's lock included.
            on_retry: called before each wait with the reason and the seconds until the next try.

        Raises:
            LockHeld: another request held the archive all the time; `extra["lock"]` describes it.
            Invalid: the archive_url, or the name of an artifact, is not valid.
            SourceNotAllowed: the archive is outside the service's allow-list.
            NotFound: the archive or an artifact is not at its source.
            DeadlineOver: not done in time; the service continues.
            Unavailable: the service cannot be reached.
            StagingApiError: an artifact failed; the class says why.
        """
        body = {"archive_url": archive_url}
        reply = self._transport.exchange(
            "POST",
            f"{API}/stagings",
            Deadline(timeout),
            body=body if artifacts is None else {**body, "artifacts": list(artifacts)},
            headers=idempotency_key() if wait else {**idempotency_key(), "Prefer": "respond-async"},
            on_retry=on_retry,
            queues=wait,
        )
        return read(Staging.of, reply)

    def staging(self, staging_id: str) -> Staging:
        """Return a staging as it is now.

        Raises:
            NotFound: there is no such staging.
        """
        return self._calls.answer(Staging.of, "GET", f"/stagings/{quote(staging_id, '')}")

    def wait(
        self,
        staging_id: str,
        until: Until = "staged",
        *,
        timeout: float = 3600.0,
        on_change: Callable[[Staging], None] | None = None,
        on_retry: OnRetry | None = None,
    ) -> Staging:
        """Wait until a staging has reached a state.

        Args:
            staging_id: ULID of the staging.
            until: ``staged``: all of it; ``foreground_staged``: what its caller waited for.
            timeout: seconds in all.
            on_change: called with the staging, first at once and then after each change.
            on_retry: called before each wait for a service that is out of reach.

        Raises:
            NotFound: there is no such staging, or no such archive.
            Cancelled: it was cancelled.
            DeadlineOver: it has not reached the state yet, and continues.
            StagingApiError: it failed; the class says why, `extra["staging_id"]` which.
        """
        changes = Changes(self._transport, staging_id, Deadline(timeout), on_retry)
        for staging in changes:
            if on_change is not None:
                on_change(staging)
            if has_reached(staging, until):
                break
        return staging

    def events(
        self, staging_id: str, *, after: int = 0, timeout: float = 3600.0
    ) -> Iterator[Event]:
        """Yield each event of a staging once and in order, until it is final.

        Args:
            staging_id: ULID of the staging.
            after: number of the last event already known.
            timeout: seconds in all.

        Raises:
            NotFound: there is no such staging.
            DeadlineOver: it continues.
            Unavailable: the service cannot be reached.
        """
        return follow(self._transport, f"{API}/stagings", staging_id, after, Deadline(timeout))

    def stagings(
        self,
        *,
        archive_url: str | None = None,
        state: str | None = None,
        caller: str | None = None,
        reference_id: UUID | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[Staging]:
        """Yield all stagings with these properties, newest first, fetching pages as needed.

        Args:
            archive_url: in its canonical form, as stagings show it.
            state: such as ``running``.
            caller: on whose behalf.
            reference_id: the context marker of the request.
            since: made then or later; a time with a zone.
            until: made before; a time with a zone.
            page_size: 1 to 1000.
        """
        query = {
            "archive_url": archive_url,
            "state": state,
            "caller": caller,
            "reference_id": reference_id,
            "since": _text(since),
            "until": _text(until),
        }
        return self._calls.pages(Staging.of, "/stagings", query, page_size)

    def cancel(self, staging_id: str) -> Staging:
        """Cancel a staging; staged artifacts stay, the rest stops within about a second.

        Raises:
            NotFound: there is no such staging.
        """
        return self._calls.answer(Staging.of, "DELETE", f"/stagings/{quote(staging_id, '')}")

    def artifacts(
        self,
        *,
        archive_url: str | None = None,
        state: str | None = None,
        name: str | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[StagedArtifact]:
        """Yield all artifacts with these properties, newest first, fetching pages as needed.

        Args:
            archive_url: in its canonical form.
            state: such as ``staged``.
            name: of the catalogue entry.
            page_size: 1 to 1000.
        """
        query = {"archive_url": archive_url, "state": state, "name": name}
        return self._calls.pages(StagedArtifact.of, "/artifacts", query, page_size)

    def artifact(self, artifact_id: str) -> StagedArtifact:
        """Return an artifact, with its source and times.

        Raises:
            NotFound: there is no such artifact.
        """
        path = f"/artifacts/{quote(artifact_id, '')}"
        return self._calls.answer(StagedArtifact.of, "GET", path)

    def files(self, artifact_id: str, *, page_size: int = PAGE_SIZE) -> Iterator[StagedFile]:
        """Yield the files of a staged artifact with their digests, ordered by path.

        Raises:
            NotFound: there is no such artifact, or it is not staged now.
        """
        path = f"/artifacts/{quote(artifact_id, '')}/files"
        return self._calls.pages(StagedFile.of, path, {}, page_size)

    def fetch(
        self,
        staging: Staging,
        to: str | PathLike[str],
        *,
        artifacts: Sequence[str] | None = None,
        timeout: float = 3600.0,
        options: FetchOptions = FetchOptions(),  # noqa: B008 - frozen
    ) -> Fetched:
        """Bring all files of a staging to a folder, unpacked folders included.

        Files that the folder has already are not fetched again; other files in it stay. Every
        file appears whole and verified, or not at all; a later call goes on where one was killed.

        Args:
            staging: as returned by `stage`; one that is not final is waited for.
            to: the folder; made if it is missing.
            artifacts: only these artifacts of the staging.
            timeout: seconds in all.
            options: how many connections, and whom to tell.

        Raises:
            Cancelled: the staging was cancelled.
            NotFound: something was evicted meanwhile: stage it again.
            ArchiveUnsafe: the name of a file leads out of the folder.
            ArchiveCorrupt: received bytes do not have the declared digest.
            Conflict: another process writes to the folder; or two files would be one on its disk,
                which ignores case.
            DiskFailed: a file cannot be written.
            DeadlineOver: not done in time.
            StagingApiError: the staging failed; the class says why.
        """
        deadline = Deadline(timeout)
        if not staging.final:
            staging = self.wait(staging.id, timeout=timeout)
        names = staging.requested if artifacts is None else artifacts
        wanted = Wanted(staging.archive_url, names)
        return fetch(self._calls, wanted, Path(to), deadline, options)

    def get(
        self,
        archive_url: str,
        artifacts: Sequence[str] | None = None,
        *,
        to: str | PathLike[str],
        timeout: float = 3600.0,
        on_retry: OnRetry | None = None,
        on_change: Callable[[Staging], None] | None = None,
        options: FetchOptions = FetchOptions(),  # noqa: B008 - frozen
    ) -> Fetched:
        """Stage artifacts of an archive, wait for all of them, and bring their files to a folder.

        Args:
            archive_url: the archive.
            artifacts: names or groups of the catalogue; None is what its ``default`` says.
            to: the folder; made if it is missing.
            timeout: seconds in all.
            on_retry: as for `stage`.
            on_change: as for `wait`.
            options: as for `fetch`.

        Raises:
            StagingApiError: as `stage`, `wait` and `fetch` do.
        """
        deadline = Deadline(timeout)
        staging = self.stage(archive_url, artifacts, timeout=timeout, on_retry=on_retry)
        left = deadline.remaining_seconds()
        if not staging.final:
            staging = self.wait(staging.id, timeout=left, on_change=on_change)
        wanted = Wanted(staging.archive_url, self.artifact_names(archive_url, artifacts))
        return fetch(self._calls, wanted, Path(to), deadline, options)

    def borrow(
        self,
        archive_url: str,
        artifacts: Sequence[str] | None = None,
        *,
        to: str | PathLike[str] | None = None,
        pin_seconds: float = 0.0,
    ) -> AbstractContextManager[Path]:
        """Return a context manager whose value is a folder with the files of artifacts.

        Args:
            archive_url: the archive.
            artifacts: names or groups of the catalogue; None is what its ``default`` says.
            to: a folder, which stays; None is a temporary one, removed at the end.
            pin_seconds: pins the artifacts meanwhile, at most so long; for operators. 0: not.

        Raises:
            StagingApiError: as `get` and `pin` do.
        """
        return borrowed(self, archive_url, artifacts, to, pin_seconds)

    def evict(self, artifact_id: str) -> StagedArtifact:
        """Stop serving an artifact; its row stays as history.

        Raises:
            NotFound: there is no such artifact, or it is not staged.
            Conflict: it is pinned.
        """
        path = f"/artifacts/{quote(artifact_id, '')}"
        return self._calls.answer(StagedArtifact.of, "DELETE", path)

    def pin(self, artifact_id: str, until: datetime | None) -> StagedArtifact:
        """Keep an artifact from being evicted.

        Args:
            artifact_id: ULID of the artifact.
            until: a time with a zone; None unpins it.

        Raises:
            NotFound: there is no such artifact, or it is evicted already.
        """
        path = f"/artifacts/{quote(artifact_id, '')}/pin"
        body = {"until": _text(until)}
        return self._calls.answer(StagedArtifact.of, "POST", path, body, idempotency_key())

    def catalogues(self, archive_url: str | None = None) -> list[Mapping[str, Any]]:
        """Return what archives can have, by catalogue; or the one catalogue of an archive.

        Raises:
            Invalid: the archive_url is malformed.
            SourceNotAllowed: the archive is outside the service's allow-list.
        """
        query = "" if archive_url is None else f"?{urlencode({'archive_url': archive_url})}"
        with understood():
            return list(self._calls.ask("GET", f"/catalogue{query}").document["items"])

    def artifact_names(self, archive_url: str, words: Sequence[str] | None = None) -> list[str]:
        """Return the artifacts that names, groups and aliases mean; None is the default."""
        return staged_names(self.catalogues(archive_url), words)

    def check_catalogue(self, archive_url: str, catalogue: str | None = None) -> Mapping[str, Any]:
        """Try a catalogue against an archive: what each entry finds, and what is left over.

        Args:
            archive_url: the archive; only the list of its objects is read.
            catalogue: the text of a catalogue file; None tries the service's own.

        Raises:
            Invalid: the catalogue is wrong; the message has the line.
            ArchiveNotFound: nothing is at that address.
            SourceFailed: the archive cannot be listed.
        """
        body = {"archive_url": archive_url, "catalogue": catalogue}
        found: Mapping[str, Any] = self._calls.ask("POST", "/catalogue/check", body).document
        return found

    def locks(
        self,
        state: Listed = "held",
        *,
        scope: str | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[Lock]:
        """Yield grants of locks, oldest first, fetching pages as needed.

        Args:
            state: ``held``: those held now; ``all``: the whole history.
            scope: only of this scope; with ``all``.
            page_size: 1 to 1000.
        """
        return self._calls.pages(Lock.of, "/locks", {"state": state, "scope": scope}, page_size)

    def break_lock(self, lock_id: str, reason: str) -> Lock:
        """Take a lock from its holder by force; later writes of the holder are refused.

        Args:
            lock_id: ULID of the grant.
            reason: 3 to 500 characters for the audit.

        Raises:
            NotFound: there is no such lock.
            Conflict: it has ended already.
            Forbidden: the caller is not an operator.
        """
        path = f"/locks/{quote(lock_id, '')}"
        return self._calls.answer(Lock.of, "DELETE", path, {"reason": reason})

    def download(
        self,
        path: str,
        to: str | PathLike[str],
        *,
        sha256: str | None = None,
        timeout: float = 3600.0,
        on_bytes: download.OnBytes | None = None,
    ) -> Path:
        """Download a staged file, resuming an earlier attempt, also one of another process.

        `to` appears at once and whole, after its digest was verified.

        Args:
            path: below ``/static``: the `path` of an artifact, or its `url`.
            to: the file to write; replaced if it exists. Until it is complete, its bytes are in
                ``.<name>.<digest>.part`` beside it.
            sha256: expected digest, in hex; None trusts the digest that the service declares.
            timeout: seconds in all.
            on_bytes: called with the bytes received so far, and the total.

        Returns:
            `to`.

        Raises:
            NotFound: nothing is staged there.
            SourceChanged: the file staged there is not `sha256`.
            ArchiveCorrupt: the received bytes do not have the declared digest.
        """
        target = download.DownloadTarget(path, Path(to), sha256 or "")
        return download.fetch(self._transport, target, Deadline(timeout), on_bytes)


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()

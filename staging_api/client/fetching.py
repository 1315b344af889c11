"""Fetch all files of a staging to a folder: in parallel, resumed, verified, only changed files.

What if the process dies? See `local_folder`: the next call continues where this one ended.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from staging_api.client import download
from staging_api.client.blocking import BlockingCalls
from staging_api.client.coroutines import each
from staging_api.client.local_folder import LocalFolder, is_of_one_file
from staging_api.client.model import StagedArtifact, StagedFile
from staging_api.client.pacing import Deadline
from staging_api.client.streaming import stream, worth_streaming, write
from staging_api.client.transport import Transport
from staging_api.errors import ArchiveCorrupt, NotFound, SourceChanged, StagingApiError
from staging_api.vocabulary.staging import SETTLED_STATES

#: Files on one page of a list: as many as the service allows, since each page is a request.
_PAGE_SIZE = 1000
#: Errors of a single file; the other files are fetched all the same.
_OF_ONE_FILE = (NotFound, SourceChanged, ArchiveCorrupt)

#: Errors of `fetch` if an artifact was evicted, or staged anew, while its files were fetched.
#: Fetched files stay: once all artifacts are staged again, only the rest is fetched.
EVICTED = (NotFound, SourceChanged)
#: Number of times that a `get` stages and fetches, if an artifact is evicted each time.
ATTEMPTS = 4

#: Called with each file that was fetched; calls never overlap.
OnFile = Callable[[StagedFile], None]
#: Called with the bytes fetched so far, and the total of all files to fetch.
OnBytes = Callable[[int, int], None]


@dataclass(frozen=True)
class Fetched:
    """Result of `StagingClient.fetch`.

    Attributes:
        files: all files of the staging, which are in the folder and verified.
        fetched: the files that the folder did not have before.
        missing: optional artifacts that the archive does not have.
        artifact_ids: ids of the artifacts that have the files.
        warnings: by artifact, sentences about what was left out or taken differently.
    """

    folder: Path
    files: Sequence[StagedFile]
    fetched: Sequence[StagedFile]
    missing: Sequence[str]
    artifact_ids: Sequence[str] = ()
    warnings: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def fetched_bytes(self) -> int:
        """Total size of the fetched files."""
        return sum(file.size_bytes for file in self.fetched)


@dataclass(frozen=True)
class FetchOptions:
    """Options of a fetch.

    Attributes:
        connections: number of parallel connections.
        hash_all: hash the files that the folder has, instead of comparing size and modification
            time.
        on_file: called for each file that was fetched.
        on_bytes: called as bytes arrive.
    """

    connections: int = 8
    hash_all: bool = False
    on_file: OnFile | None = None
    on_bytes: OnBytes | None = None


@dataclass(frozen=True)
class FetchRequest:
    """The artifacts of one archive whose files are fetched."""

    archive_url: str
    names: Sequence[str]


def fetch(
    calls: BlockingCalls, wanted: FetchRequest, to: Path, deadline: Deadline, options: FetchOptions
) -> Fetched:
    """Fetch the files of artifacts to a folder; for errors see `StagingClient.fetch`."""
    artifacts = _artifacts(calls, wanted.archive_url, wanted.names)
    missing = [artifact.name for artifact in artifacts if artifact.state == "missing"]
    folder = LocalFolder(to)
    try:
        lists = {artifact.id: _files(calls, artifact, folder) for artifact in artifacts}
        listed = [file for files in lists.values() for file in files]
        # Two artifacts may have the same file; if they differ, the one staged later is served.
        files = list({file.name: file for file in reversed(listed)}.values())
        absent, refused = _absent(files, folder, options)
        run = _Fetch(calls.connections.transport, folder, deadline, options, absent)
        run.errors += refused
        for artifact in artifacts:
            run.stream(artifact, lists[artifact.id])
        run.fetch_rest()
        folder.tidy(files, lists)
    finally:
        folder.close()
    ids = [artifact.id for artifact in artifacts if artifact.state == "staged"]
    warnings = {each.name: each.warnings for each in artifacts if each.warnings}
    return Fetched(to, sorted(files, key=lambda file: file.name), absent, missing, ids, warnings)


def staged_names(catalogues: Iterable[Mapping[str, Any]], words: Iterable[str] | None) -> list[str]:
    """Return the artifacts that names, groups and aliases stand for; None is the default."""
    found: dict[str, None] = {}
    for catalogue in catalogues:
        for word in catalogue["default"] if words is None else words:
            entries = [
                entry
                for entry in catalogue["artifacts"]
                if word in (entry["name"], entry["group"], *entry["aliases"])
            ]
            found |= dict.fromkeys(entry["name"] for entry in entries) or {word: None}
            for entry in entries:
                if entry["name"] == word:
                    found |= dict.fromkeys(entry.get("brings", ()))
    return list(found)


def _artifacts(
    calls: BlockingCalls, archive_url: str, names: Sequence[str]
) -> list[StagedArtifact]:
    """Return the current artifacts with these names.

    Raises:
        NotFound: an artifact is no longer staged.
    """
    wanted, found = set(names), []
    query = {"archive_url": archive_url}
    for artifact in each(calls.pages(StagedArtifact.of, "/artifacts", query)):
        # The newest comes first; the rest is its history.
        if artifact.name in wanted:
            wanted.discard(artifact.name)
            found.append(artifact)
        if not wanted:
            break
    for artifact in found:
        if artifact.state not in SETTLED_STATES:
            wanted.add(artifact.name)
    if wanted:
        raise NotFound(f"{', '.join(sorted(wanted))} of {archive_url} is not staged now")
    return found


def _files(calls: BlockingCalls, artifact: StagedArtifact, folder: LocalFolder) -> list[StagedFile]:
    """Return the files of an artifact; they never change, so a folder fetches a list once."""
    if artifact.state != "staged":
        return []
    if (known := folder.list_of(artifact)) is not None:
        return known
    path = f"/artifacts/{artifact.id}/files"
    files = list(each(calls.pages(StagedFile.of, path, {}, _PAGE_SIZE)))
    folder.keep_list(artifact, files)
    return files


def _absent(
    files: Sequence[StagedFile], folder: LocalFolder, options: FetchOptions
) -> tuple[list[StagedFile], list[StagingApiError]]:
    """Return the files that the folder lacks, and the errors of files that it cannot have."""
    displaced = folder.displaced(files)
    absent: list[StagedFile] = []
    refused: list[StagingApiError] = []
    for file in files:
        try:
            if file.name in displaced:
                raise displaced[file.name]
            if not folder.has(file, hash_all=options.hash_all):
                absent.append(file)
        except StagingApiError as error:
            if not is_of_one_file(error):
                raise
            refused.append(error)
    return absent, refused


class _Stopped(Exception):
    """Raised in a download to end it because another one failed.

    Not a `StagingApiError`: a callback of the caller may raise those to end the call.
    """


class _Fetch:
    """One run over the files that the folder lacks."""

    def __init__(
        self,
        transport: Transport,
        folder: LocalFolder,
        deadline: Deadline,
        options: FetchOptions,
        files: Sequence[StagedFile],
    ) -> None:
        self._transport = transport
        self._folder = folder
        self._deadline = deadline
        self._options = options
        # The largest first, so that no large file is left to a single connection at the end.
        largest_first = sorted(files, key=lambda file: -file.size_bytes)
        self._left = {file.path: file for file in largest_first}
        self._total = sum(file.size_bytes for file in files)
        self._done = 0
        self.errors: list[StagingApiError] = []
        self._mutex = threading.Lock()
        self._stopped = threading.Event()

    def stream(self, artifact: StagedArtifact, files: Sequence[StagedFile]) -> None:
        """Fetch the files of one artifact as a stream, if that is cheaper; some may be left."""
        absent = [self._left[file.path] for file in files if file.path in self._left]
        if worth_streaming(artifact, files, absent):
            wanted = {file.path: file for file in absent}
            stream(self._transport, self._deadline, artifact, wanted, self._keep)

    def fetch_rest(self) -> None:
        """Fetch all remaining files; raise the first error after all threads have ended."""
        if self._left:
            self._fetch_left()
        if self.errors:
            first = self.errors[0]
            if others := len(self.errors) - 1:
                files = "files" if others > 1 else "file"
                first.add_note(f"{others} further {files} could not be fetched")
            raise first

    def _fetch_left(self) -> None:
        with ThreadPoolExecutor(self._options.connections) as pool:
            futures = [pool.submit(self._one, file) for file in self._left.values()]
            try:
                wait(futures)
            except BaseException:
                # Ctrl-C: running downloads end at their next bytes, and keep their parts.
                self._stopped.set()
                raise
        for future in futures:
            error = future.exception()
            if error is not None and not isinstance(error, _Stopped):
                raise error

    def _keep(self, file: StagedFile, content: IO[bytes]) -> None:
        try:
            if not write(self._folder, file, content):
                return
        except StagingApiError as error:
            if not is_of_one_file(error):
                raise
            return
        del self._left[file.path]
        self._folder.note(file)
        self._done += file.size_bytes
        if self._options.on_bytes is not None:
            self._options.on_bytes(self._done, self._total)
        if self._options.on_file is not None:
            self._options.on_file(file)

    def _one(self, file: StagedFile) -> None:
        try:
            self._check()
            self._bring(file)
        except StagingApiError as error:
            if not (isinstance(error, _OF_ONE_FILE) or is_of_one_file(error)):
                self._stopped.set()
                raise
            self.errors.append(error)
        except BaseException:
            self._stopped.set()
            raise

    def _bring(self, file: StagedFile) -> None:
        place, part = self._folder.place(file), self._folder.part(file)
        target = download.DownloadTarget(file.path, place, file.sha256, part=part)
        counted = 0

        def count(done: int, _total: int) -> None:
            nonlocal counted
            self._check()
            with self._mutex:
                self._done += done - counted
                counted = done
                if self._options.on_bytes is not None:
                    self._options.on_bytes(self._done, self._total)

        download.fetch(self._transport, target, self._deadline, count)
        with self._mutex:
            self._folder.note(file)
            if self._options.on_file is not None:
                self._options.on_file(file)

    def _check(self) -> None:
        if self._stopped.is_set():
            raise _Stopped

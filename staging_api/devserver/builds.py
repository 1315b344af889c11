"""Staged builds and their files, for the queries of the old clients."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from staging_api.errors import Conflict, LockHeld, NotFound
from staging_api.locks.hold import RequestOrigin
from staging_api.sources.url import parse
from staging_api.staging.model import StagingRequest
from staging_api.staging.repository import found_files, reading
from staging_api.staging.repository.found_files import BuildFolder, FoundFile
from staging_api.staging.service import StagingService

_PARTS = re.compile(r"(\d+|[a-z]+|\.)")


@dataclass(frozen=True)
class FolderEntry:
    """A file of a build's folder; or a subfolder, with its newest times and total size."""

    path: str
    accessed_at: datetime
    modified_at: datetime
    size_bytes: int


@dataclass(frozen=True)
class Builds:
    """Queries about builds, answered from the tables."""

    stagings: StagingService

    def check_request(self, archive_url: str, artifacts: Sequence[str] = ()) -> StagingRequest:
        """Check a request about a build; see `StagingService.check_request`.

        Raises:
            Invalid: the URL is malformed, or an artifact is unknown.
            SourceNotAllowed: the archive is outside the allow-list.
        """
        return self.stagings.check_request(archive_url, artifacts)

    def latest(self, target: str, milestone: str = "") -> str:
        """Return the newest build of a target whose name contains the milestone.

        A build is staged if all required artifacts of the default are, including background
        artifacts: a build with only images or symbols cannot be tested.

        Raises:
            NotFound: there is no such build.
        """
        with self.stagings.database.connect() as conn:
            folders = [
                folder
                for entry in self.stagings.catalogues
                for folder in found_files.builds_below(conn, target, entry.catalogue.needed)
                if self.stagings.catalogues.of(parse(folder.archive_url)) is entry.catalogue
            ]
        names = [name for name in _names(folders, target) if milestone.upper() in name]
        if not names:
            raise NotFound(f"no build of {target} is staged")
        return max(names, key=version_key)

    def evict(self, request: StagingRequest, origin: RequestOrigin) -> None:
        """Evict staged artifacts, except those that are pinned or in work."""
        with self.stagings.database.connect() as conn:
            rows = reading.artifacts_of(conn, request.archive_url, request.names)
        for row in rows:
            if row.settled:
                try:
                    self.stagings.artifacts.evict(row.id, origin)
                # Another request works on this archive, so its other artifacts would be refused as
                # well.
                except LockHeld:
                    return
                except (Conflict, NotFound):
                    continue

    def folder(self, request: StagingRequest) -> str:
        """Return the folder of a build's files below ``/static``.

        Raises:
            NotFound: no request ever named the build.
        """
        with self.stagings.database.connect() as conn:
            return found_files.folder_of(conn, request.archive_url)

    def entries(self, request: StagingRequest) -> tuple[str, list[FolderEntry]]:
        """Return the folder of a build and its direct entries.

        Raises:
            NotFound: nothing of the build is staged.
        """
        with self.stagings.database.connect() as conn:
            folder = found_files.folder_of(conn, request.archive_url)
            files = found_files.files_below(conn, folder)
        if not files:
            raise NotFound(f"nothing of {request.archive_url} is staged")
        return folder, list(_entries(folder, files))


def version_key(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key for versions: numbers by value, and before any letters."""
    parts = [part for part in _PARTS.split(name) if part and part != "."]
    return [_part_key(part) for part in parts]


def _part_key(part: str) -> tuple[int, int, str]:
    if not (part.isascii() and part.isdigit()):
        return 1, 0, part
    # By length and text: `int` raises ValueError above 4300 digits.
    digits = part.lstrip("0")
    return 0, len(digits), digits


def _names(folders: Sequence[BuildFolder], target: str) -> list[str]:
    """Return the builds directly in the target, except those renamed due to another bucket's.

    The folder of a renamed build does not have the build's name, so no client would find it.
    """
    return [
        name
        for folder in folders
        if (name := folder.static_prefix.removeprefix(f"{target}/"))
        == parse(folder.archive_url).build
    ]


def _entries(folder: str, files: Sequence[FoundFile]) -> Iterator[FolderEntry]:
    by_name: dict[str, list[FoundFile]] = {}
    for file in files:
        name = file.path.removeprefix(f"{folder}/").partition("/")[0]
        by_name.setdefault(name, []).append(file)
    for name, found in by_name.items():
        yield FolderEntry(
            path=f"{folder}/{name}",
            accessed_at=max(file.last_accessed_at or file.staged_at for file in found),
            modified_at=max(file.staged_at for file in found),
            size_bytes=sum(file.size_bytes for file in found),
        )

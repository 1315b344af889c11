"""Intake of packages, from a request or from staged files, without any lock.

One request may have many packages. Their bytes are made durable together; then each package is
read, and one transaction records all of them. A fault of one package is recorded with its upload,
and does not stop the others.

What if the process dies? Before the transaction: the store has contents that no row names. After
it: the uploads are recorded, and the same packages sent again get the same releases.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from staging_api.db.engine import Database
from staging_api.debian.deb import BinaryPackage
from staging_api.debian.dsc import SourceFile, SourcePackage
from staging_api.errors import (
    Conflict,
    Invalid,
    LimitExceeded,
    NotFound,
    StagingApiError,
    Unavailable,
)
from staging_api.http_url import static_path
from staging_api.locks.hold import RequestOrigin
from staging_api.publishing.model import Suite, Upload
from staging_api.publishing.placing import Place, UploadDestination, make_way, placed
from staging_api.publishing.rows import apt_archives, uploads
from staging_api.publishing.sent_packages import LIMITS, SentPackage, sent_packages
from staging_api.publishing.uploads import lifted_note
from staging_api.staging.repository.reading import served_file
from staging_api.staging.repository.store_rows import (
    mark_unnamed_for_deletion,
    name_blobs_asynchronously,
    name_stored_blobs,
)
from staging_api.staging.reservations import UploadReservation
from staging_api.staging.upkeep import Upkeep
from staging_api.store.blob_store import BlobStore
from staging_api.store.blobs import Blob, Reserve, no_limit
from staging_api.store.places import read_at

_REMOVED = "contents were removed from the store meanwhile: send them again"
#: Maximum number of files in one request.
MAX_FILES = 10_000
# Maximum number of file names in an error message about the whole request.
_NAMED_FILES = 20


@dataclass(frozen=True)
class Intake:
    """Takes packages into the store, and records them.

    Attributes:
        upkeep: enforces the quota of the store; None: there is no quota.
    """

    database: Database
    blobs: BlobStore
    upkeep: Upkeep | None = None

    def destination(self, apt_archive: str, suite: str, component: str) -> UploadDestination:
        """Check the destination of packages before their bytes are read.

        Raises:
            NotFound: there is no such archive.
            Invalid: the archive has no such suite, or the suite no such component.
            Conflict: the suite is immutable.
        """
        with self.database.plain_connection() as conn:
            found = apt_archives.find_apt_archive(conn, apt_archive)
        to = found.suite(suite)
        if to is None:
            raise Invalid.field("suite", f"{apt_archive} has no suite {suite}")
        if component not in to.components:
            raise Invalid.field("component", f"{suite} has no component {component}")
        if to.immutable:
            raise Conflict(f"the suite {suite} is immutable")
        return UploadDestination(found, to, component)

    def take(
        self,
        to: UploadDestination,
        files: Iterable[tuple[str, Iterable[bytes]]],
        origin: RequestOrigin,
        expected_bytes: int,
    ) -> list[Upload]:
        """Take in files by name.

        Args:
            to: destination of the packages.
            files: names and bytes of the files.
            origin: the caller of the request.
            expected_bytes: total size of the files, as far as known; this space is reserved before
                the first file is read.

        Raises:
            Invalid: there is no package among the files, or a name is repeated.
            PackageInvalid, Conflict: every package was rejected; the uploads are recorded as
                rejected.
            NoSpace: the store is full.
            StoreAbsent: the store is not mounted, or another one is mounted in its place.
            Unavailable: the store lost contents that had just been sent.
        """
        kept: list[SourceFile] = []
        with (
            self._room(expected_bytes) as room,
            self.blobs.batch(f"upload-{to.apt_archive.name}", room) as batch,
        ):
            for name, chunks in files:
                blob = batch.keep(_bounded(name, chunks))
                kept.append(SourceFile(name, blob.size_bytes, blob.sha256))
                if len(kept) > MAX_FILES:
                    raise LimitExceeded(f"more than {MAX_FILES} files in one request")
            batch.commit()
            return self._note(to, kept, origin)

    def take_staged(
        self, to: UploadDestination, paths: Sequence[str], origin: RequestOrigin
    ) -> list[Upload]:
        """Take in staged files; only files in packs are copied, because a pool has blobs.

        Args:
            to: destination of the packages.
            paths: path of each file below ``/static``, or its URL on this service.
            origin: the caller of the request.

        Raises:
            NotFound: nothing is staged at a path.
            Invalid, PackageInvalid, Conflict: as in `take`.
        """
        kept: list[SourceFile] = []
        with (
            self._room(0) as room,
            self.blobs.batch(f"upload-{to.apt_archive.name}", room) as batch,
        ):
            for path in map(static_path, paths):
                with self.database.connect() as conn:
                    served = served_file(conn, path)
                if served is None:
                    raise NotFound(f"nothing is staged at {path}")
                if served.place.packed:
                    batch.keep([read_at(self.blobs, served.place)], served.size_bytes)
                else:
                    batch.reuse(Blob(served.sha256, served.size_bytes))
                name = path.rpartition("/")[2]
                kept.append(SourceFile(name, served.size_bytes, served.sha256))
            batch.commit()
            return self._note(to, kept, origin)

    @contextmanager
    def _room(self, expected_bytes: int) -> Iterator[Reserve]:
        """Reserve space for the files until their bytes are counted as used space."""
        if self.upkeep is None:
            yield no_limit
            return
        self.upkeep.identity.check()
        with UploadReservation(self.upkeep, expected_bytes) as room:
            yield room

    def _note(
        self, to: UploadDestination, kept: Sequence[SourceFile], origin: RequestOrigin
    ) -> list[Upload]:
        by_name = {file.name: file for file in kept}
        if len(by_name) < len(kept):
            raise Invalid.field("files", "a name comes twice")
        sent = list(sent_packages(self.blobs, by_name))
        if not sent:
            raise Invalid.field("files", "there is no .deb, .udeb or .dsc among them")
        contents = {file.sha256: file.size_bytes for file in kept}
        self._name(contents)
        make_way(self.database, to, sent)
        with self.database.begin() as conn:
            # Name the blobs again in the transaction that writes the rows: until its end, garbage
            # collection does not remove them. The store has them: none is lost any more.
            if name_stored_blobs(conn, contents):
                raise Unavailable(_REMOVED, retry_after_seconds=1)
            records = _decided(conn, to, sent, origin)
            rows = [row for row, _ in records]
            accepted = any(row["state"] == "accepted" for row in rows)
            lifted = lifted_note(to.suite.name) if accepted else None
            noted = uploads.add_uploads(conn, to.suite.id, origin.caller, rows, lifted)
        errors = [error for _, error in records if error is not None]
        if len(errors) == len(records):
            raise _none_taken(errors[0], noted)
        return noted

    def _name(self, contents: Mapping[str, int]) -> None:
        """Protect contents from garbage collection, and check that the store has them.

        The store is accessed outside of any transaction.
        """
        with self.database.plain_connection() as conn:
            # If a crash loses this commit, the transaction that writes the rows detects it, and
            # refuses.
            unsure = name_blobs_asynchronously(conn, contents)
        lacking = self.blobs.lacks({sha256: contents[sha256] for sha256 in unsure})
        if lacking:
            with self.database.connect() as conn:
                mark_unnamed_for_deletion(conn, lacking)
            raise Unavailable(_REMOVED, retry_after_seconds=1)


def _none_taken(first: StagingApiError, noted: Sequence[Upload]) -> StagingApiError:
    """Build the error for a request whose packages were all rejected; it names up to 20 files."""
    first.extra["uploads"] = [upload.id for upload in noted]
    if len(noted) > 1:
        names = [upload.name for upload in noted]
        others = ", ".join(names[1:_NAMED_FILES]) + ", ..." * (len(names) > _NAMED_FILES)
        first.detail = f"{names[0]}: {first.detail}; refused with it: {others}"
    return first


def _bounded(name: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > LIMITS.file_bytes:
            raise LimitExceeded(f"{name} has more than {LIMITS.file_bytes} bytes")
        yield chunk


def _decided(
    conn: Connection, to: UploadDestination, packages: Sequence[SentPackage], origin: RequestOrigin
) -> list[tuple[dict[str, Any], StagingApiError | None]]:
    """Return the row of each upload, and the error if it is rejected."""
    places = placed(conn, to, packages)
    known = _known(conn, to, packages)
    records: list[tuple[dict[str, Any], StagingApiError | None]] = []
    for sent in packages:
        place = places[sent.name]
        error = place if isinstance(place, StagingApiError) else None
        row = {
            "component": to.component,
            "name": sent.name,
            "state": "rejected" if error else _state(to.suite, sent, known),
            "reference_id": origin.reference_id,
            "error_code": error.code if error else None,
            "error_message": error.detail.replace("\0", "") if error else None,
        }
        records.append((row | _about(sent, place), error))
    return records


def _about(sent: SentPackage, place: Place) -> dict[str, Any]:
    """Return what the row of an upload says of its package, if that can be read."""
    content = sent.content
    if isinstance(content, StagingApiError):
        return {}
    note = "it is Latin-1, and the index has it as UTF-8" if content.latin_1 else None
    if isinstance(place, StagingApiError):
        return {"note": note}
    return {"note": note, **place, **_offer(sent.name, content)}


def _offer(name: str, content: BinaryPackage | SourcePackage) -> dict[str, Any]:
    """Return the fields of a package that domination compares."""
    return {
        "package": content.package,
        "version_key": content.version.sort_key,
        "architecture": content.architecture if isinstance(content, BinaryPackage) else None,
        "installer": name.endswith(".udeb"),
    }


def _known(conn: Connection, to: UploadDestination, packages: Sequence[SentPackage]) -> set[str]:
    if to.suite.auto_accept:
        return set()
    names = [p.content.package for p in packages if not isinstance(p.content, StagingApiError)]
    return uploads.known_packages(conn, to.apt_archive.id, names)


def _state(suite: Suite, sent: SentPackage, known: set[str]) -> str:
    if suite.auto_accept:
        return "accepted"
    content = sent.content
    seen = not isinstance(content, StagingApiError) and content.package in known
    return "unapproved" if seen else "new"

"""Taking packages in: from a request, or from what has been staged, without any lock.

One request may bring many packages. Their bytes become durable together; then each is read, and
one transaction notes them all: whatever is wrong with one is noted with it, and stops no other.

What if the process dies? Before the transaction: the store has contents that no row names. After
it: the uploads are there, and whoever sends the same again gets the same releases.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from staging_api.artifacts.store import Blob, BlobStore
from staging_api.db.engine import Database
from staging_api.debian.deb import BinaryPackage, DebLimits, read_deb
from staging_api.debian.dsc import (
    MAX_DSC_BYTES,
    SourceFile,
    SourcePackage,
    check_files,
    read_dsc,
)
from staging_api.errors import (
    Conflict,
    Invalid,
    LimitExceeded,
    NotFound,
    PackageInvalid,
    StagingApiError,
    Unavailable,
)
from staging_api.locks.hold import Asker
from staging_api.locks.model import new_id
from staging_api.publishing import repository
from staging_api.publishing.model import AptArchive, Suite, Upload
from staging_api.publishing.pool import binary_file_name, pool_path
from staging_api.staging.repository import doom_unnamed, name_blobs, served_file

_LIMITS = DebLimits()
_REMOVED = "contents were removed from the store meanwhile: send them again"
#: Files that one request may bring.
MAX_FILES = 10_000


@dataclass(frozen=True)
class Destination:
    """Where packages are to go."""

    archive: AptArchive
    suite: Suite
    component: str


#: What was read of one package; or why it is rejected.
_Content = BinaryPackage | SourcePackage | StagingApiError


@dataclass(frozen=True)
class _Parcel:
    """One package among those that were sent: a .deb or .udeb, or a .dsc with its files.

    Attributes:
        name: of its file, as it was sent.
        content: what was read of it; or why it is rejected.
        files: of a source, by name.
    """

    name: str
    content: _Content
    files: dict[str, SourceFile]


@dataclass(frozen=True)
class Intake:
    """Takes packages in."""

    database: Database
    blobs: BlobStore

    def destination(self, archive: str, suite: str, component: str) -> Destination:
        """Check where packages are to go, before their bytes are read.

        Raises:
            NotFound: there is no such archive.
            Invalid: it has no such suite, or that no such component.
            Conflict: the suite takes no packages any more.
        """
        with self.database.connect() as conn:
            found = repository.find_archive(conn, archive)
        to = found.suite(suite)
        if to is None:
            raise Invalid.field("suite", f"{archive} has no suite {suite}")
        if component not in to.components:
            raise Invalid.field("component", f"{suite} has no component {component}")
        if to.immutable:
            raise Conflict(f"the suite {suite} is immutable")
        return Destination(found, to, component)

    def take(
        self, to: Destination, files: Iterable[tuple[str, Iterable[bytes]]], asker: Asker
    ) -> list[Upload]:
        """Take in files by name.

        Raises:
            Invalid: there is no package among them, or a name comes twice.
            PackageInvalid, Conflict: every package was rejected; the uploads say so, too.
            NoSpace: the store is full.
            Unavailable: the store lost what had just been sent.
        """
        kept: list[SourceFile] = []
        with self.blobs.batch(f"upload-{to.archive.name}") as batch:
            for name, chunks in files:
                blob = batch.keep(_bounded(chunks))
                kept.append(SourceFile(name, blob.size_bytes, blob.sha256))
                if len(kept) > MAX_FILES:
                    raise LimitExceeded(f"more than {MAX_FILES} files in one request")
            batch.commit()
        return self._note(to, kept, asker)

    def take_staged(self, to: Destination, paths: Sequence[str], asker: Asker) -> list[Upload]:
        """Take in what is served below ``/static``; nothing is copied.

        Raises:
            NotFound: nothing is staged at a path.
            Invalid, PackageInvalid, Conflict: as with `take`.
        """
        kept: list[SourceFile] = []
        with self.blobs.batch(f"upload-{to.archive.name}") as batch:
            for path in paths:
                with self.database.connect() as conn:
                    served = served_file(conn, path.removeprefix("/static/"))
                if served is None:
                    raise NotFound(f"nothing is staged at {path}")
                blob = Blob(served.sha256, served.size_bytes)
                batch.reuse(blob)
                name = path.rpartition("/")[2]
                kept.append(SourceFile(name, blob.size_bytes, blob.sha256))
        return self._note(to, kept, asker)

    def _note(self, to: Destination, kept: Sequence[SourceFile], asker: Asker) -> list[Upload]:
        by_name = {file.name: file for file in kept}
        if len(by_name) < len(kept):
            raise Invalid.field("files", "a name comes twice")
        parcels = list(self._parcels(by_name))
        if not parcels:
            raise Invalid.field("files", "there is no .deb, .udeb or .dsc among them")
        contents = {file.sha256: file.size_bytes for file in kept}
        self._name(contents)
        with self.database.begin() as conn:
            if name_blobs(conn, contents):
                raise Unavailable(_REMOVED, retry_after_seconds=1)
            rows = _decided(conn, to, parcels, asker)
            uploads = repository.add_uploads(conn, [row for row, _ in rows])
        errors = [error for _, error in rows if error is not None]
        if len(errors) == len(rows):
            errors[0].extra["uploads"] = [upload.id for upload in uploads]
            raise errors[0]
        return uploads

    def _name(self, contents: Mapping[str, int]) -> None:
        """Keep contents from removal, and look for them; no transaction waits for the store."""
        with self.database.begin() as conn:
            unsure = name_blobs(conn, contents)
        lacking = self.blobs.lacks({sha256: contents[sha256] for sha256 in unsure})
        if lacking:
            with self.database.connect() as conn:
                doom_unnamed(conn, lacking)
            raise Unavailable(_REMOVED, retry_after_seconds=1)

    def _parcels(self, files: dict[str, SourceFile]) -> Iterator[_Parcel]:
        listed: set[str] = set()
        for name, file in files.items():
            if name.endswith(".dsc"):
                parcel = _Parcel(name, self._read(file), files)
                if isinstance(parcel.content, SourcePackage):
                    listed |= {each.name for each in parcel.content.files}
                yield parcel
        for name, file in files.items():
            if name.endswith((".deb", ".udeb")):
                yield _Parcel(name, self._read(file), {})
            elif name not in listed and not name.endswith(".dsc"):
                yield _Parcel(name, PackageInvalid(f"{name} belongs to no .dsc"), {})

    def _read(self, file: SourceFile) -> _Content:
        try:
            with closing(self.blobs.open(file.sha256, file.size_bytes)) as opened:
                if file.name.endswith(".dsc"):
                    return read_dsc(opened.read(MAX_DSC_BYTES + 1))
                return read_deb(opened, _LIMITS)
        except StagingApiError as error:
            return error


def _bounded(chunks: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > _LIMITS.file_bytes:
            raise LimitExceeded(f"more than {_LIMITS.file_bytes} bytes in one file")
        yield chunk


def _decided(
    conn: Connection, to: Destination, parcels: Sequence[_Parcel], asker: Asker
) -> list[tuple[dict[str, Any], StagingApiError | None]]:
    """The row of each upload, and the reason if it is rejected."""
    releases = _binaries(conn, to, parcels)
    for parcel in parcels:
        if isinstance(parcel.content, SourcePackage):
            releases[parcel.name] = _source(conn, to, parcel, parcel.content)
        elif isinstance(parcel.content, StagingApiError):
            releases[parcel.name] = parcel.content
    known = _known(conn, to, parcels)
    rows: list[tuple[dict[str, Any], StagingApiError | None]] = []
    for parcel in parcels:
        release = releases[parcel.name]
        error = release if isinstance(release, StagingApiError) else None
        state = "rejected" if error else _state(to.suite, parcel, known)
        row = {
            "id": new_id(),
            "suite_id": to.suite.id,
            "component": to.component,
            "name": parcel.name,
            "state": state,
            "caller": asker.caller,
            "reference_id": asker.reference_id,
            "error_code": error.code if error else None,
            "error_message": error.detail.replace("\0", "") if error else None,
            "source_release_id": None,
            "binary_release_id": None,
            **({} if isinstance(release, StagingApiError) else release),
        }
        rows.append((row, error))
    taken = [
        (row, _offer(parcel.name, parcel.content))
        for (row, error), parcel in zip(rows, parcels, strict=True)
        if error is None and not isinstance(parcel.content, StagingApiError)
    ]
    _note_what_follows(conn, to, taken)
    return rows


def _note_what_follows(
    conn: Connection, to: Destination, taken: Sequence[tuple[dict[str, Any], dict[str, Any]]]
) -> None:
    """Say in the rows of uploads what they lift, and which of them will not be offered.

    Args:
        conn: the transaction that notes the uploads.
        to: where they go.
        taken: each row, with what domination compares of it.
    """
    if any(row["state"] == "accepted" for row, _ in taken) and repository.lift(conn, [to.suite.id]):
        for row, _ in taken:
            row["note"] = lifted(to.suite.name)
    newer = repository.newer_versions(conn, to.suite.id, [offer for _, offer in taken])
    for place, version in newer.items():
        row, _ = taken[place]
        told = f"{to.suite.name} has {version}, which is newer: clients are offered that"
        row["note"] = "; ".join(filter(None, (row.get("note"), told)))


def lifted(suite: str) -> str:
    """What the sender of an upload is told that ends a hold."""
    return (
        f"{suite} was held at older packages, which this lifts:"
        " clients see what is published after the next run"
    )


def _offer(name: str, content: BinaryPackage | SourcePackage) -> dict[str, Any]:
    """What domination compares of a package, by the name of its file."""
    return {
        "package": content.package,
        "version_key": content.version.sort_key,
        "architecture": content.architecture if isinstance(content, BinaryPackage) else None,
        "installer": name.endswith(".udeb"),
    }


def _known(conn: Connection, to: Destination, parcels: Sequence[_Parcel]) -> set[str]:
    if to.suite.auto_accept:
        return set()
    names = [p.content.package for p in parcels if not isinstance(p.content, StagingApiError)]
    return repository.known_packages(conn, to.archive.id, names)


def _state(suite: Suite, parcel: _Parcel, known: set[str]) -> str:
    if suite.auto_accept:
        return "accepted"
    content = parcel.content
    seen = not isinstance(content, StagingApiError) and content.package in known
    return "unapproved" if seen else "new"


def _binaries(
    conn: Connection, to: Destination, parcels: Sequence[_Parcel]
) -> dict[str, dict[str, Any] | StagingApiError]:
    """The releases of all .deb and .udeb files, added together."""
    found: dict[str, dict[str, Any] | StagingApiError] = {}
    rows: dict[str, dict[str, Any]] = {}
    for parcel in parcels:
        if isinstance(parcel.content, BinaryPackage):
            try:
                rows[parcel.name] = _binary_row(to, parcel.name, parcel.content)
            except StagingApiError as error:
                found[parcel.name] = error
    there = repository.add_binaries(conn, to.archive.id, list(rows.values())) if rows else {}
    for place, (name, row) in enumerate(rows.items()):
        release = there.get(place)
        if release is None:
            found[name] = _path_is_taken(row["path"])
        elif release.sha256 != row["sha256"]:
            found[name] = Conflict(
                f"{row['package']} {release.version} ({row['architecture']}) is in the archive with"
                f" another content, at {release.path}: give the package a new version"
            )
        else:
            found[name] = {"binary_release_id": release.id}
    return found


def _path_is_taken(path: str) -> Conflict:
    return Conflict(
        f"{path} is in the archive with another content, or was published with it, and what was"
        " published keeps its bytes for ever: give the package a new version"
    )


def _binary_row(to: Destination, name: str, package: BinaryPackage) -> dict[str, Any]:
    if package.architecture not in ("all", *to.suite.architectures):
        raise PackageInvalid(f"{to.suite.name} has no architecture {package.architecture}")
    suffix = name.rpartition(".")[2]
    file_name = binary_file_name(package.package, package.version, package.architecture, suffix)
    return {
        "package": package.package,
        "version": package.version.text,
        "version_key": package.version.sort_key,
        "architecture": package.architecture,
        "installer": suffix == "udeb",
        "source": package.source,
        "source_version_key": package.source_version.sort_key,
        "control": package.control,
        "path": pool_path(to.component, package.source, file_name),
        "sha256": package.sha256,
        "size_bytes": package.size_bytes,
    }


def _source(
    conn: Connection, to: Destination, parcel: _Parcel, source: SourcePackage
) -> dict[str, Any] | StagingApiError:
    """The release of a .dsc; files that it shares with another version need not be sent again."""
    archive_id = to.archive.id
    wanted = (source.dsc, *source.files)
    paths = {file.name: pool_path(to.component, source.package, file.name) for file in wanted}
    try:
        there = repository.files_at(conn, archive_id, list(paths.values()))
        in_pool = {
            name: SourceFile(name, there[path].size_bytes, there[path].sha256)
            for name, path in paths.items()
            if path in there
        }
        check_files(source, {**in_pool, **parcel.files})
        if (known := _known_source(conn, to, source)) is not None:
            return known
        rows = [{**vars(file), "path": paths[file.name]} for file in wanted]
        repository.add_files(conn, archive_id, rows)
        there = repository.files_at(conn, archive_id, list(paths.values()))
        for file in wanted:
            path = paths[file.name]
            if path not in there or there[path].sha256 != file.sha256:
                raise _path_is_taken(path)
        values = {"package": source.package, "version": source.version.text}
        values |= {"version_key": source.version.sort_key, "control": source.control}
        ids = [there[paths[file.name]].id for file in wanted]
        added = repository.add_source(conn, archive_id, values, ids)
        # Another request may have added it since we looked.
        return {"source_release_id": added} if added else _known_source(conn, to, source) or {}
    except StagingApiError as error:
        return error


def _known_source(
    conn: Connection, to: Destination, source: SourcePackage
) -> dict[str, Any] | None:
    """The release of this version, in whatever component; None if there is none.

    Raises:
        Conflict: it has other files.
    """
    package, version = source.package, source.version
    release = repository.find_source(conn, to.archive.id, package, version.sort_key)
    if release is None:
        return None
    if list(release.files) != [f"{f.name} {f.sha256}" for f in (source.dsc, *source.files)]:
        raise Conflict(
            f"{package} {release.version} is in the archive with other files, hence another"
            " content: give the package a new version"
        )
    return {"source_release_id": release.id}

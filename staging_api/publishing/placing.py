"""Assign each package its path in the pool and its release: a new or known one, or a refusal.

A path keeps its bytes from the time when clients can see it. A version keeps its content while it
is in the archive, or waits to be published. A package that was given up before any client saw it
keeps neither: it is removed when another content is sent under its name, so a rejected package can
be corrected at once.

What if the process dies? Removing given-up packages is a transaction of its own; everything else
is part of the transaction that records the uploads.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from staging_api.db.engine import Database
from staging_api.debian.deb import BinaryPackage
from staging_api.debian.dsc import SourceFile, SourcePackage, check_files
from staging_api.errors import Conflict, PackageInvalid, StagingApiError
from staging_api.publishing.model import AptArchive, Suite
from staging_api.publishing.pool import binary_file_name, pool_path
from staging_api.publishing.rows import pool, uploads
from staging_api.publishing.rules import package_refusals
from staging_api.publishing.sent_packages import SentPackage

#: The columns of an upload that name its release, or the error by which it is refused.
Place = dict[str, Any] | StagingApiError


@dataclass(frozen=True)
class UploadDestination:
    """The archive, suite and component that packages are sent to."""

    apt_archive: AptArchive
    suite: Suite
    component: str


def make_way(database: Database, to: UploadDestination, packages: Sequence[SentPackage]) -> None:
    """Remove given-up files from the pool whose paths these packages need."""
    wanted = [row for sent in packages for row in _wanted(to, sent)]
    with database.plain_connection() as conn:
        in_the_way = pool.files_in_the_way(conn, to.apt_archive.id, wanted)
    if in_the_way:
        with database.begin() as conn:
            pool.remove_given_up(conn, in_the_way)


def placed(
    conn: Connection, to: UploadDestination, packages: Sequence[SentPackage]
) -> dict[str, Place]:
    """Return the release of each package, by the name of its file."""
    # A single binary package locks one file, and then its release. With others, a file would be
    # locked behind the release of the package before.
    if len(packages) > 1:
        wanted = [row for sent in packages for row in _wanted(to, sent)]
        uploads.lock_files(conn, to.apt_archive.id, wanted)
    places: dict[str, Place] = _binaries(conn, to, packages)
    for sent in packages:
        if isinstance(sent.content, SourcePackage):
            places[sent.name] = _source(conn, to, sent, sent.content)
        elif isinstance(sent.content, StagingApiError):
            places[sent.name] = sent.content
    return places | _refused_beside_another(to, packages, places)


def _wanted(to: UploadDestination, sent: SentPackage) -> Iterator[dict[str, Any]]:
    """Yield a row for each file of a package: its path, and the identity of the package."""
    content = sent.content
    if isinstance(content, BinaryPackage):
        try:
            yield _binary_row(to, sent.files[sent.name], content)
        except StagingApiError:
            return
    elif isinstance(content, SourcePackage):
        paths = _paths(to, content)
        named = {"package": content.package, "version_key": content.version.sort_key}
        yield {**named, "path": paths[content.dsc.name], "sha256": content.dsc.sha256}
        yield from ({"path": paths[f.name], "sha256": f.sha256} for f in content.files)


def _refused_beside_another(
    to: UploadDestination, packages: Sequence[SentPackage], places: Mapping[str, Place]
) -> dict[str, Place]:
    """Return refusals that name the other package of the same request.

    Without this, the refusal could say that a package is "in the archive" that was only part of the
    request, and that nobody found there before sending.
    """
    keys = {sent.name: _place_keys(to, sent) for sent in packages}
    taken: dict[Hashable, str] = {}
    for name, place in places.items():
        if not isinstance(place, StagingApiError):
            taken.update(dict.fromkeys(keys[name], name))
    return {
        name: Conflict(
            f"{name} and {others[0]} of this request are the same package and version with two"
            f" contents, and {others[0]} was taken: give the package a new version"
        )
        for name, place in places.items()
        if isinstance(place, Conflict)
        and (others := [taken[key] for key in keys[name] if key in taken])
    }


def _place_keys(to: UploadDestination, sent: SentPackage) -> list[Hashable]:
    """Return the keys that two packages with different contents cannot share: version and path."""
    row = next(_wanted(to, sent), None)
    if row is None:
        return []
    identity = ("package", "version_key", "architecture", "installer")
    return [tuple(row.get(name) for name in identity), row["path"]]


def _binaries(
    conn: Connection, to: UploadDestination, packages: Sequence[SentPackage]
) -> dict[str, Place]:
    """Add the releases of all .deb and .udeb files; return each release or refusal."""
    found: dict[str, Place] = {}
    records: dict[str, dict[str, Any]] = {}
    for sent in packages:
        if isinstance(sent.content, BinaryPackage):
            try:
                records[sent.name] = _binary_row(to, sent.files[sent.name], sent.content)
            except StagingApiError as error:
                found[sent.name] = error
    there = uploads.add_binaries(conn, to.apt_archive.id, list(records.values())) if records else {}
    for place, (name, row) in enumerate(records.items()):
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
        f"{path} is in the archive with another content, or was published with it, and a"
        " published path keeps its bytes for ever: give the package a new version"
    )


def _binary_row(to: UploadDestination, file: SourceFile, package: BinaryPackage) -> dict[str, Any]:
    if package.architecture not in ("all", *to.suite.architectures):
        raise PackageInvalid(f"{to.suite.name} has no architecture {package.architecture}")
    suffix = file.name.rpartition(".")[2]
    kind = package.fields.get("package-type", suffix)
    if kind in ("deb", "udeb") and kind != suffix:
        # The file name determines the index: a package for machines must not be listed for the
        # installer.
        raise PackageInvalid(
            f"Package-Type: it is a {kind}, so name the file .{kind}, not .{suffix}"
        )
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
        "sha256": file.sha256,
        "size_bytes": file.size_bytes,
    }


def _source(
    conn: Connection, to: UploadDestination, sent: SentPackage, source: SourcePackage
) -> Place:
    """Return the release of a .dsc; files shared with another version need not be sent again."""
    archive_id = to.apt_archive.id
    wanted, paths = (source.dsc, *source.files), _paths(to, source)
    try:
        there = uploads.files_at(conn, archive_id, list(paths.values()))
        in_pool = {
            name: SourceFile(name, there[path].size_bytes, there[path].sha256)
            for name, path in paths.items()
            if path in there
        }
        with package_refusals():
            check_files(source, {**in_pool, **sent.files})
        if (known := _known_source(conn, to, source)) is not None:
            return known
        records = [{**vars(file), "path": paths[file.name]} for file in wanted]
        uploads.add_files(conn, archive_id, records)
        there = uploads.files_at(conn, archive_id, list(paths.values()))
        for file in wanted:
            path = paths[file.name]
            if path not in there or there[path].sha256 != file.sha256:
                raise _path_is_taken(path)
        values = {"package": source.package, "version": source.version.text}
        values |= {"version_key": source.version.sort_key, "control": source.control}
        ids = [there[paths[file.name]].id for file in wanted]
        added = uploads.add_source(conn, archive_id, values, ids)
        # Another request may have added the release since the lookup.
        return {"source_release_id": added} if added else _known_source(conn, to, source) or {}
    except StagingApiError as error:
        return error


def _paths(to: UploadDestination, source: SourcePackage) -> dict[str, str]:
    """Return the pool path of each file of a source, by name."""
    names = [file.name for file in (source.dsc, *source.files)]
    return {name: pool_path(to.component, source.package, name) for name in names}


def _known_source(
    conn: Connection, to: UploadDestination, source: SourcePackage
) -> dict[str, Any] | None:
    """Return the release of this version, in any component; None if there is none.

    Raises:
        Conflict: the release has other files.
    """
    package, version = source.package, source.version
    release = uploads.find_source(conn, to.apt_archive.id, package, version.sort_key)
    if release is None:
        return None
    if list(release.files) != [f"{f.name} {f.sha256}" for f in (source.dsc, *source.files)]:
        raise Conflict(
            f"{package} {release.version} is in the archive with other files, hence another"
            " content: give the package a new version"
        )
    return {"source_release_id": release.id}

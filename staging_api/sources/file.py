"""Source for archives below a folder of this machine, confined to that folder.

Each path segment is opened relative to the folder above it and must not be a symbolic link, so
replacing a folder during the walk cannot lead outside. The folder in the allow-list is the
operator's choice and may be reached through links.
"""

import errno
import os
import stat
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from staging_api.errors import (
    ArchiveNotFound,
    ArtifactNotFound,
    SourceChanged,
    SourceFailed,
    SourceNotAllowed,
    SourceRefused,
    StagingApiError,
    Unavailable,
)
from staging_api.exhaustion import is_exhaustion
from staging_api.sources.allowlist import AllowList
from staging_api.sources.manifest import checked_names, read_manifest
from staging_api.sources.model import CHUNK_BYTES, Names, Source, SourceObject, SourceOptions
from staging_api.sources.one_object import folder_to_ask_for
from staging_api.sources.url import ArchiveUrl

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_BENEATH = _FOLDER | os.O_NOFOLLOW
# Without O_NONBLOCK, opening a pipe would wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

#: A name that is too long for its file system cannot exist.
_ABSENT = (errno.ENOENT, errno.ENAMETOOLONG)
#: Errors that leave an entry out of a listing: removed or replaced meanwhile, or not permitted.
_LEFT_OUT = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM)
#: O_NOFOLLOW fails with ELOOP for a link, O_DIRECTORY with ENOTDIR for a file or a link.
_NO_FOLDER = (errno.ELOOP, errno.ENOTDIR)
#: ENXIO is a socket, ENODEV a device without a driver.
_NO_FILE = (errno.ELOOP, errno.ENXIO, errno.ENODEV)


def open_archive(url: ArchiveUrl, allowed: AllowList, options: SourceOptions) -> Source:
    """Open the folder of an archive.

    Raises:
        SourceNotAllowed: the folder is outside of the allow-list.
    """
    root = allowed.check(url).url.segments
    return FileSource(url, "/" + "/".join(root), url.segments[len(root) :], options)


@dataclass(frozen=True)
class FileSource:
    """The files of one folder `below` a root, confined to that folder."""

    archive: ArchiveUrl
    root: str
    below: tuple[str, ...]
    options: SourceOptions

    @property
    def url(self) -> str:
        """The archive's canonical URL."""
        return self.archive.canonical

    def names(self) -> Names:
        """List all objects: from the manifest, or else by listing the folder."""
        with self._folder():
            pass
        manifest = read_manifest(self, self.options)
        if manifest is not None:
            return manifest.names
        return checked_names(self._listed(), self.options)

    def stat(self, name: str) -> SourceObject:
        """Describe a file."""
        with self._opened(name) as descriptor:
            return self._described(name, os.fstat(descriptor))

    @contextmanager
    def open(
        self, found: SourceObject, start: int = 0, end: int | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Stream a range of a file."""
        with self._opened(found.name) as descriptor:
            last = (found.size_bytes or 0) if end is None else end
            yield self._chunks(descriptor, found, start, last)

    def close(self) -> None:
        """Do nothing: no descriptor stays open."""

    def _chunks(
        self, descriptor: int, found: SourceObject, start: int, end: int
    ) -> Generator[bytes, None, None]:
        self._check_version(descriptor, found)
        os.lseek(descriptor, start, os.SEEK_SET)
        while start < end:
            try:
                chunk = os.read(descriptor, min(CHUNK_BYTES, end - start))
            except OSError as error:
                raise _unreadable(found.name, error) from error
            if not chunk:
                raise SourceChanged(f"{found.name} became shorter while it was read")
            start += len(chunk)
            yield chunk
        self._check_version(descriptor, found)

    def _check_version(self, descriptor: int, found: SourceObject) -> None:
        if self._described(found.name, os.fstat(descriptor)).version != found.version:
            raise SourceChanged(f"{found.name} changed since it was found")

    def _described(self, name: str, facts: os.stat_result) -> SourceObject:
        version = f"{facts.st_mtime_ns}-{facts.st_size}"
        return SourceObject(name, self.archive.below(name).canonical, facts.st_size, version)

    @contextmanager
    def _folder(self) -> Iterator[int]:
        try:
            descriptor = os.open(self.root, _FOLDER)
        except (FileNotFoundError, NotADirectoryError):
            raise ArchiveNotFound("the root of the archives is not there") from None
        except OSError as error:
            raise _unreadable("the root of the archives", error) from error
        try:
            descriptor = _walk(descriptor, self.below)
        except FileNotFoundError:
            raise ArchiveNotFound(f"{self.archive.canonical} is not there") from None
        except _IsFile as found:
            whole = len(self.archive.segments) - len(self.below)
            hint = folder_to_ask_for(self.archive, whole + found.count)
            raise ArchiveNotFound(
                f"{self.archive.canonical} is a file, or below one; {hint}"
            ) from None
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _opened(self, name: str) -> Iterator[int]:
        *folders, last = name.split("/")
        with self._folder() as archive:
            try:
                # Duplicated, because `_walk` closes its descriptor.
                folder = _walk(os.dup(archive), tuple(folders))
            except (FileNotFoundError, _IsFile):
                raise ArtifactNotFound(f"{name} is not in the archive") from None
        try:
            descriptor = _open_file(last, folder, name)
        finally:
            os.close(folder)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _listed(self) -> Iterator[str]:
        """Yield the files; other entries with a slash at the end, so that they are left out."""
        # Folders not yet visited; those left at the end are not readable, or were removed.
        unseen: dict[str, None] = {}

        def note(error: OSError) -> None:
            if error.errno not in _LEFT_OUT:
                # A listing truncated by such an error would look like the whole archive.
                raise _unreadable(str(error.filename), error) from error

        with self._folder() as archive:
            # Relative to the open folder, so replacing a folder above it has no effect.
            walk = os.fwalk(".", dir_fd=archive, follow_symlinks=False, onerror=note)
            for folder, folders, files, descriptor in walk:
                unseen.pop(os.path.normpath(folder), None)
                for file in files:
                    name = os.path.normpath(f"{folder}/{file}")
                    yield name if _is_file(file, descriptor) else f"{name}/"
                for each in folders:
                    name = os.path.normpath(f"{folder}/{each}")
                    if _is_folder(each, descriptor):
                        unseen[name] = None
                    else:
                        yield f"{name}/"
        yield from (f"{name}/" for name in unseen)


class _IsFile(Exception):
    """A regular file is where a folder should be; it is the `count`-th segment."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count


def _is_file(name: str, folder: int) -> bool:
    """Return whether the file can be read here: not a link, pipe or device."""
    return _has_type(name, folder, stat.S_ISREG)


def _is_folder(name: str, folder: int) -> bool:
    return _has_type(name, folder, stat.S_ISDIR)


def _has_type(name: str, folder: int, is_type: Callable[[int], bool]) -> bool:
    try:
        return is_type(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError as error:
        if error.errno not in _LEFT_OUT:
            raise _unreadable(name, error) from error
        return False


def _walk(descriptor: int, segments: tuple[str, ...]) -> int:
    """Open a folder below an open one; closes the given descriptor.

    Raises:
        FileNotFoundError: the folder does not exist.
        _IsFile: there is a file in its place, or in the place of a folder above it.
        SourceNotAllowed: the folder, or one above it, is a link or the like.
    """
    for count, segment in enumerate(segments, start=1):
        above = descriptor
        try:
            descriptor = os.open(segment, _BENEATH, dir_fd=above)
        except OSError as error:
            if error.errno in _ABSENT:
                raise FileNotFoundError(segment) from None
            if error.errno in _NO_FOLDER:
                if _is_file(segment, above):
                    raise _IsFile(count) from None
                raise SourceNotAllowed(
                    f"{segment!a} is a link, or not a folder: the archive_url must lead to the"
                    " folder itself, through no link"
                ) from None
            raise _unreadable(ascii(segment), error) from error
        finally:
            os.close(above)
    return descriptor


def _open_file(segment: str, folder: int, name: str) -> int:
    try:
        descriptor = os.open(segment, _FILE, dir_fd=folder)
    except OSError as error:
        if error.errno in _ABSENT:
            raise ArtifactNotFound(f"{name} is not in the archive") from None
        if error.errno in _NO_FILE:
            raise SourceNotAllowed(f"{name} is a link, or not a regular file") from None
        raise _unreadable(name, error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SourceNotAllowed(f"{name} is not a regular file")
    return descriptor


def _unreadable(what: str, error: OSError) -> StagingApiError:
    """Return the error for an existing file that cannot be read: failing disk, missing mount."""
    if isinstance(error, PermissionError):
        return SourceRefused(f"{what} may not be read by this service")
    if is_exhaustion(error):
        return Unavailable(
            f"this process is short of resources to read {what} just now: {error.strerror}",
            retry_after_seconds=2,
        )
    return SourceFailed(f"{what} cannot be read: {error.strerror}")

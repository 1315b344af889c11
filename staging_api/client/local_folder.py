"""Local folder that staged files are fetched to.

Its subfolder ``.staging-api/`` has the parts of unfinished downloads; the file lists of artifacts,
which never change; and a journal: a line for each verified file, with its size and modification
time, so that the file need not be hashed again.

What if the process dies? Before a file has its name: its bytes are in a part, and the next call
continues after them. Before the file's line is in the journal: the next call hashes the file, and
finds the right digest. In the middle of a line: the incomplete line is ignored. While the journal
is rewritten: the old journal stays.
"""

import errno
import hashlib
import json
import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from staging_api.client.file_lock import try_lock
from staging_api.client.model import StagedArtifact, StagedFile
from staging_api.disk_room import folder_of, free_space, is_full
from staging_api.errors import ArchiveUnsafe, Conflict, DiskFailed, StagingApiError

_OWN = ".staging-api"
#: Members that are stored for each file of a list.
_LISTED = ("name", "path", "size_bytes", "sha256", "executable")
#: A backslash is an ordinary character on other systems: systemd has it in names.
_NOT_ON_WINDOWS = frozenset('<>:"|?*\\')
#: Names that no file can have on Windows, with any extension.
_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    | {f"{port}{digit}" for port in ("COM", "LPT") for digit in "123456789\xb9\xb2\xb3"}
)
#: Errors when something else has the name, or the disk does not accept it.
_OF_A_NAME = frozenset(
    {
        errno.EISDIR,
        errno.ENOTDIR,
        errno.EEXIST,
        errno.ENOTEMPTY,
        errno.ENAMETOOLONG,
        errno.EINVAL,
        errno.EILSEQ,
        errno.ELOOP,
    }
)
_EXECUTABLE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


class LocalFolder:
    """The local folder, for one process at a time."""

    def __init__(self, root: Path) -> None:
        """Create the folder if it is missing, and lock it.

        Raises:
            Conflict: another process writes to the folder.
            DiskFailed: the folder cannot be created or written.
        """
        self.root = root
        self._text = str(root)
        self._parts = root / _OWN / "parts"
        self._lists = root / _OWN / "lists"
        self._journal = root / _OWN / "verified.jsonl"
        #: Folders below the root that are known not to lead out of it.
        self._safe = {""}
        with disk_errors(root):
            self._parts.mkdir(parents=True, exist_ok=True)
            self._lists.mkdir(exist_ok=True)
            self._lock = (root / _OWN / "lock").open("a+b")
            if not try_lock(self._lock):
                self._lock.close()
                raise Conflict(f"another process writes to {root}")
            self._verified = dict(_lines(self._journal))
            self._lines = self._journal.open("a", encoding="utf-8")

    def close(self) -> None:
        """Release the folder."""
        self._lines.close()
        self._lock.close()

    def displaced(self, files: Iterable[StagedFile]) -> dict[str, Conflict]:
        """Return the files that cannot exist beside the others in this folder, by name.

        Some disks ignore case, or Unicode form; and a bucket may have both ``a`` and ``a/b``, of
        which only the second can exist on a disk.
        """
        names = [file.name for file in files]
        folders = {above for name in names for above in _above(name)}
        found = {
            name: Conflict(
                f"{name!a} is a file and a folder of other files, of which {self.root} can have"
                " only one"
            )
            for name in names
            if name in folders
        }
        return found | (self._twins(names) if self.ignores_case() else {})

    def ignores_case(self) -> bool:
        """Return whether two names that differ in case are the same file in this folder."""
        # The existing file is called ``lock``.
        return (self.root / _OWN / "LOCK").exists()

    def place(self, file: StagedFile) -> Path:
        """Return the local path of a file.

        Raises:
            ArchiveUnsafe: its name leads out of the folder, by itself or by a link in the folder.
        """
        return Path(self._place(file))

    def part(self, file: StagedFile) -> Path:
        """Return the path of a file's part, which has its bytes until they are verified."""
        name = hashlib.sha256(file.name.encode()).hexdigest()[:24]
        return self._parts / f"{name}.{file.sha256[:16]}"

    def has(self, file: StagedFile, *, hash_all: bool) -> bool:
        """Return whether the folder has this content of a file.

        A file is hashed only if its size or modification time differs from the journal's.

        Args:
            hash_all: hash the file in any case.

        Raises:
            ArchiveUnsafe: see `place`.
            DiskFailed: the file cannot be read.
        """
        place = self._place(file)
        with disk_errors(place):
            try:
                found = os.lstat(place)
            except (FileNotFoundError, NotADirectoryError):
                return False
            if not stat.S_ISREG(found.st_mode) or found.st_size != file.size_bytes:
                return False
            known = self._verified.get(file.name)
            if hash_all or known != [file.sha256, found.st_size, found.st_mtime_ns]:
                if _digest_of(place) != file.sha256:
                    return False
                self.note(file)
            self._make_executable(file, place, found.st_mode)
        return True

    def note(self, file: StagedFile) -> None:
        """Record in the journal that a file was verified."""
        place = self._place(file)
        with disk_errors(place):
            found = os.lstat(place)
            self._make_executable(file, place, found.st_mode)
            known = [file.sha256, found.st_size, found.st_mtime_ns]
            self._verified[file.name] = known
            # One write of a whole line: a killed process never leaves half a line, a crashed
            # machine might.
            self._lines.write(json.dumps([file.name, *known]) + "\n")
            self._lines.flush()

    def list_of(self, artifact: StagedArtifact) -> list[StagedFile] | None:
        """Return the files of an artifact, if they were listed for this folder before."""
        try:
            items = json.loads(self._list(artifact.id).read_bytes())
            return [StagedFile(**item) for item in items]
        except (OSError, ValueError, TypeError):
            return None

    def keep_list(self, artifact: StagedArtifact, files: Iterable[StagedFile]) -> None:
        """Store the list of an artifact's files."""
        items = [{name: getattr(file, name) for name in _LISTED} for file in files]
        with disk_errors(self.root):
            target = self._list(artifact.id)
            fresh = target.with_suffix(".new")
            fresh.write_text(json.dumps(items), encoding="utf-8")
            # Written atomically: a truncated list would make files disappear from the folder's
            # list.
            fresh.replace(target)

    def tidy(self, files: Iterable[StagedFile], artifact_ids: Iterable[str]) -> None:
        """Remove obsolete parts and lists, and rewrite a journal that has grown.

        Args:
            files: files whose parts stay.
            artifact_ids: ids of the artifacts whose lists stay.
        """
        with disk_errors(self.root):
            parts = list(self._parts.iterdir())
            wanted = {self.part(file) for file in files} if parts else set()
            wanted |= set(map(self._list, artifact_ids))
            for kept in (*parts, *self._lists.iterdir()):
                if kept not in wanted:
                    kept.unlink()
            lines = self._journal.read_bytes().count(b"\n")
            # Rewritten once most lines are outdated, so that all rewriting together costs no more
            # than writing the lines did.
            if lines > 2 * len(self._verified) + 100:
                self._rewrite()

    def _place(self, file: StagedFile) -> str:
        # Strings instead of `Path` objects, as a folder may have a hundred thousand unchanged
        # files.
        folder, _, name = file.name.rpartition("/")
        if not _is_safe(name) or (not folder and _is_own(name)) or file.name[0] == "/":
            raise ArchiveUnsafe(f"{file.name!r} is no name of a file in {self.root}")
        if folder not in self._safe:
            self._check_folder(folder, file)
        return f"{self._text}/{file.name}"

    def _check_folder(self, folder: str, file: StagedFile) -> None:
        segments = folder.split("/")
        if not all(map(_is_safe, segments)) or _is_own(segments[0]):
            raise ArchiveUnsafe(f"{file.name!r} is no name of a file in {self.root}")
        for count in range(1, len(segments) + 1):
            above = "/".join(segments[:count])
            if above not in self._safe:
                if (self.root / above).is_symlink():
                    raise ArchiveUnsafe(
                        f"{self.root / above} is a link: nothing is written through it"
                    )
                self._safe.add(above)

    def _twins(self, names: Iterable[str]) -> dict[str, Conflict]:
        seen: dict[str, str] = {}
        found = {}
        for name in names:
            first = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
            if first != name:
                found[name] = Conflict(
                    f"{first!a} and {name!a} would be one file in {self.root}, whose disk"
                    " ignores case"
                )
        return found

    @staticmethod
    def _make_executable(file: StagedFile, place: str, mode: int) -> None:
        if file.executable and not mode & stat.S_IXUSR:
            Path(place).chmod(stat.S_IMODE(mode) | _EXECUTABLE)

    def _list(self, artifact_id: str) -> Path:
        return self._lists / f"{hashlib.sha256(artifact_id.encode()).hexdigest()[:24]}.json"

    def _rewrite(self) -> None:
        fresh = self._journal.with_suffix(".new")
        text = "".join(json.dumps([name, *known]) + "\n" for name, known in self._verified.items())
        fresh.write_text(text, encoding="utf-8")
        # Closed before the rename: Windows replaces no open file.
        self._lines.close()
        fresh.replace(self._journal)
        self._lines = self._journal.open("a", encoding="utf-8")


@contextmanager
def disk_errors(place: Path | str) -> Iterator[None]:
    """Turn an error of the disk into `DiskFailed`; `place` is named if the system names no file."""
    try:
        yield
    except OSError as error:
        # For a rename, the new name.
        name = error.filename2 or error.filename or place
        free = f"; {free_space(folder_of(name))}" if is_full(error) else ""
        raise DiskFailed(f"{name}: {error.strerror or error}{free}") from error


def is_of_one_file(error: StagingApiError) -> bool:
    """Return whether a folder's error concerns the name of one file only."""
    if isinstance(error, DiskFailed):
        return isinstance(error.__cause__, OSError) and error.__cause__.errno in _OF_A_NAME
    return isinstance(error, (ArchiveUnsafe, Conflict))


def _digest_of(place: str) -> str | None:
    """Hash a file; None if it may not be read, but can perhaps be replaced."""
    try:
        with Path(place).open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except PermissionError:
        return None


def _above(name: str) -> Iterator[str]:
    """Yield the parent folders of a file, the nearest first."""
    while name := name.rpartition("/")[0]:
        yield name


def _is_safe(segment: str) -> bool:
    if segment in ("", ".", "..") or "\0" in segment or "/" in segment:
        return False
    if os.name != "nt":
        return True
    device = segment.partition(".")[0].rstrip(" ").upper()
    return not (device in _DEVICES or _NOT_ON_WINDOWS & set(segment) or segment[-1] in ". ")


def _is_own(segment: str) -> bool:
    """Return whether a name in the folder is our own subfolder, also if the disk ignores case."""
    return segment.casefold() == _OWN


def _lines(journal: Path) -> Iterator[tuple[str, list[Any]]]:
    if not journal.exists():
        return
    lines = journal.read_bytes().splitlines()
    try:
        # One pass over the whole journal takes half the time.
        items = json.loads(b"[%b]" % b",".join(lines))
    except ValueError:
        items = map(_read, lines)
    for item in items:
        # An incomplete or foreign line only costs another hash of its file.
        if isinstance(item, list) and item and isinstance(item[0], str):
            yield item[0], item[1:]


def _read(line: bytes) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None

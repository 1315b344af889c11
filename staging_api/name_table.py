"""Table of names with small values: in memory if small, else in an unlinked file.

A container file may have a million members. As Python objects their names alone would take hundreds
of megabytes, several times over. So above a limit they go to an SQLite table, in a file that is
unlinked as soon as it is open: it disappears with the process, however the process ends, and a
crash leaves nothing to repair. Names are written in batches and read back one by one, or in the
order of their bytes.
"""

import sqlite3
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from secrets import token_hex
from tempfile import gettempdir

from staging_api.disk_room import free_space
from staging_api.errors import NoSpace

#: Number of names that are kept in memory, which takes up to 20 MB.
MOST_IN_MEMORY = 100_000
#: Number of names in one write, and in one page of an iteration.
_GROUP = 5000
_CACHE_KIB = 8 << 10


class NameTable:
    """A mapping of names to bytes, for one thread at a time."""

    def __init__(self, folder: Path | None = None) -> None:
        """Create an empty table.

        Args:
            folder: folder for the file of a large table; None: SQLite's folder for temporary files.
        """
        self._folder = folder
        #: All names; with a file, only those that were not written yet.
        self._recent: dict[str, bytes] = {}
        self._sorted: list[str] | None = None
        self._file: sqlite3.Connection | None = None

    def __len__(self) -> int:
        if self._file is None:
            return len(self._recent)
        self._write()
        with _failures(self._folder):
            return int(self._file.execute("SELECT count(*) FROM names").fetchone()[0])

    def __bool__(self) -> bool:
        return bool(self._recent) or next(self.items(), None) is not None

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __setitem__(self, name: str, value: bytes) -> None:
        self._recent[name] = value
        self._sorted = None
        if len(self._recent) >= (MOST_IN_MEMORY if self._file is None else _GROUP):
            self._write()

    def get(self, name: str) -> bytes | None:
        """Return the value of a name; None if the table does not have it."""
        value = self._recent.get(name)
        if value is None and self._file is not None:
            with _failures(self._folder):
                query = "SELECT value FROM names WHERE name = ?"
                row = self._file.execute(query, (_raw(name),)).fetchone()
            value = None if row is None else row[0]
        return value

    def pop(self, name: str) -> bytes | None:
        """Remove a name; return its value, or None if the table does not have it."""
        value = self.get(name)
        self._recent.pop(name, None)
        self._sorted = None
        if self._file is not None:
            with _failures(self._folder):
                self._file.execute("DELETE FROM names WHERE name = ?", (_raw(name),))
        return value

    def items(self, start: str = "") -> Iterator[tuple[str, bytes]]:
        """Yield names and values, beginning at `start`, in the order of their bytes.

        Names that are added or removed during the iteration may be yielded or not.
        """
        if self._file is None:
            if self._sorted is None:
                self._sorted = sorted(self._recent)
            for name in islice(names := self._sorted, bisect_left(names, start), None):
                if (value := self.get(name)) is not None:
                    yield name, value
            return
        self._write()
        query = "SELECT name, value FROM names WHERE name {} ? ORDER BY name LIMIT ?"
        last, compare = _raw(start), ">="
        while True:
            with _failures(self._folder):
                page = self._file.execute(query.format(compare), (last, _GROUP)).fetchall()
            for raw, value in page:
                yield raw.decode("utf-8", "surrogatepass"), value
            if len(page) < _GROUP:
                return
            last, compare = page[-1][0], ">"

    def ends(self) -> tuple[str, str]:
        """Return the first and the last name; both are empty if the table is empty."""
        first, _ = next(self.items(), ("", b""))
        if self._file is None:
            return first, max(self._recent, default="")
        with _failures(self._folder):
            (last,) = self._file.execute("SELECT max(name) FROM names").fetchone()
        return first, (last or b"").decode("utf-8", "surrogatepass")

    def _write(self) -> None:
        if not self._recent:
            return
        with _failures(self._folder):
            if self._file is None:
                self._file = _opened(self._folder)
            rows = ((_raw(name), value) for name, value in self._recent.items())
            self._file.executemany("INSERT OR REPLACE INTO names VALUES (?, ?)", rows)
        self._recent = {}


def _opened(folder: Path | None) -> sqlite3.Connection:
    """Open a table in a file and unlink the file."""
    path = folder / f"names-{token_hex(8)}" if folder else ""
    # Threads use a table in turn: one fills it, and another reads it after the first has ended.
    file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for setting in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
        file.execute(f"PRAGMA {setting}")
    file.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    file.execute("CREATE TABLE names (name BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
    file.execute("BEGIN")
    if path:
        with suppress(OSError):
            Path(path).unlink()
    return file


def _raw(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


@contextmanager
def _failures(folder: Path | None) -> Iterator[None]:
    """Turn errors of the disk into `NoSpace`; other errors pass unchanged.

    Raises:
        NoSpace: the folder of temporary files is full, or cannot be written.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        folder = folder or Path(gettempdir())
        raise NoSpace(
            f"the names of the members cannot be kept in {folder}: {error};"
            f" of its disk, {free_space(folder)}"
        ) from None

"""Stack traces of minidumps, by a program of the operator's and the symbols that are staged.

The program gets a folder of the symbols that the dump's modules name, of one build or of any, and
no more. Symbols of builds do not mix, as they are filed by build in the tables.

What if the process dies while the program runs? The program ends by its own limits, and its folder
is one of the temporary files that a restart of the machine or of its container removes. Nothing
else was written.
"""

import os
import resource
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from staging_api.db.engine import Database
from staging_api.errors import Invalid, LimitExceeded, StagingApiError
from staging_api.formats.minidump import modules
from staging_api.locks.model import SYMBOLS
from staging_api.staging.repository import found_files
from staging_api.store.blob_store import BlobStore
from staging_api.store.places import Place, put_at

_FOLDER = "debug/breakpad/"
#: In how many builds' symbols a dump's modules are looked up, the newest first.
_MOST_BUILDS = 1000
_MOST_OUTPUT_BYTES = 16 << 20
_MOST_MEMORY_BYTES = 8 << 30
_ERROR_BYTES = 500

#: Where symbols are in the store, by their path below the tree that the program reads.
_Symbols = Mapping[str, Place]


@dataclass(frozen=True)
class Symbolication:
    """Runs the program, with limits of time, memory and output.

    Attributes:
        noticed: wraps each read of a blob (digest, length), to notice that it is lost.
    """

    program: Path
    database: Database
    blobs: BlobStore
    limit_seconds: float = 60.0
    noticed: Callable[[str, int], AbstractContextManager[None]] = lambda *_: nullcontext()

    def of_build(self, dump: Path, archive_url: str) -> bytes:
        """The stack trace by the symbols of one build, which are staged.

        Raises:
            NotFound: the store has lost symbols of it: stage them again.
            StagingApiError: the program failed, or took too long.
        """
        with self.database.connect() as conn:
            prefix = found_files.folder_of(conn, archive_url)
            found = found_files.files_below(conn, prefix, _FOLDER)
        below = f"{prefix}/{_FOLDER}"
        symbols = {f.path.removeprefix(below): f.place for f in found}
        needed: set[str] = set()
        # A file that is no minidump needs no symbols, and the program reports the reason.
        with suppress(Invalid):
            needed = _named_by(dump)
        return self._walk(dump, {name: symbols[name] for name in needed & symbols.keys()})

    def of_any_build(self, dump: Path) -> bytes:
        """The stack trace by the symbols that the dump's modules name, of whatever build.

        Raises:
            Invalid: it is no minidump.
            NotFound: the store has lost symbols that it needs: stage them again.
            StagingApiError: the program failed, or took too long.
        """
        paths = {_FOLDER + path for path in _named_by(dump)}
        with self.database.connect() as conn:
            found = found_files.newest_of_each(conn, SYMBOLS.name, paths, _MOST_BUILDS)
        return self._walk(dump, {p.removeprefix(_FOLDER): place for p, place in found.items()})

    def _walk(self, dump: Path, symbols: _Symbols) -> bytes:
        with (
            tempfile.TemporaryDirectory(prefix="symbols-", dir=dump.parent) as tree,
            _in_memory() as output,
            _in_memory() as errors,
        ):
            self._link(Path(tree), symbols)
            status = self._run([str(self.program), str(dump), tree], output, errors)
            trace, said = _written(output), _written(errors)
        if status != 0:
            reason = said[-_ERROR_BYTES:].decode(errors="replace").strip()
            raise StagingApiError(f"no stack trace (status {status}): {reason}")
        if len(trace) >= _MOST_OUTPUT_BYTES:
            raise LimitExceeded("the stack trace is too long")
        return trace

    def _link(self, tree: Path, symbols: _Symbols) -> None:
        for path, place in symbols.items():
            # Paths of staged files were found safe when they were unpacked.
            link = tree / PurePosixPath(path)
            link.parent.mkdir(parents=True, exist_ok=True)
            # A cut file would give a trace that looks whole and is not.
            with self.noticed(place.sha256, place.blob_bytes):
                put_at(self.blobs, place, link)

    def _run(self, command: list[str], output: BinaryIO, errors: BinaryIO) -> int:
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                cwd=command[-1],
                env={"LC_ALL": "C.UTF-8"},
                start_new_session=True,
            )
        except OSError as error:
            raise StagingApiError(f"the stackwalk program: {error.strerror}") from None
        self._limit(child.pid)
        try:
            return child.wait(self.limit_seconds)
        except subprocess.TimeoutExpired:
            raise StagingApiError(
                f"no stack trace within {self.limit_seconds:.0f} seconds"
            ) from None
        finally:
            # Its children, too; and the program itself if its time is over.
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    def _limit(self, pid: int) -> None:
        seconds = int(self.limit_seconds) + 1
        for kind, limit in (
            (resource.RLIMIT_CPU, seconds),
            (resource.RLIMIT_AS, _MOST_MEMORY_BYTES),
            (resource.RLIMIT_FSIZE, _MOST_OUTPUT_BYTES),
            (resource.RLIMIT_CORE, 0),
        ):
            # Set from here, not between fork and exec, where threads make that unsafe.
            with suppress(ProcessLookupError):
                resource.prlimit(pid, kind, (limit, limit))


def _in_memory() -> BinaryIO:
    """Open a file without a disk, which the program's limits bound.

    On a full one a program that ignores what its writes return would leave a part of a trace, and
    end well.
    """
    return os.fdopen(os.memfd_create("stackwalk"), "w+b")


def _written(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def _named_by(dump: Path) -> set[str]:
    """The symbols that a dump needs: a store may have to fetch each, and a build has thousands."""
    return {module.symbol_path for module in modules(dump)}

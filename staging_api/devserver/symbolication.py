"""Stack traces of minidumps, made by the operator's program from staged symbols.

The program gets a folder with only the symbols that the dump's modules name, from one build or from
any. Symbols of different builds do not mix, as the tables file them by build.

What if the process dies while the program runs? The program is ended by its limits, and its folder
is among the temporary files that a restart of the machine or its container removes. Nothing else
was written.
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
#: Number of builds whose symbols are searched for a dump's modules, the newest first.
_MOST_BUILDS = 1000
_MOST_OUTPUT_BYTES = 16 << 20
_MOST_MEMORY_BYTES = 8 << 30
_ERROR_BYTES = 500

#: Paths of symbols in the store, by their path below the tree that the program reads.
_Symbols = Mapping[str, Place]


@dataclass(frozen=True)
class Symbolication:
    """Runs the program, with limits of time, memory and output.

    Attributes:
        noticed: context manager around each read of a blob (digest, length); records a lost blob.
    """

    program: Path
    database: Database
    blobs: BlobStore
    limit_seconds: float = 60.0
    noticed: Callable[[str, int], AbstractContextManager[None]] = lambda *_: nullcontext()

    def of_build(self, dump: Path, archive_url: str) -> bytes:
        """Return the stack trace by the staged symbols of one build.

        Raises:
            NotFound: the store has lost symbols of the build: stage them again.
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
        """Return the stack trace by the symbols that the dump's modules name, from any build.

        Raises:
            Invalid: the file is not a minidump.
            NotFound: the store has lost symbols that the dump needs: stage them again.
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
            # Paths of staged files were checked when they were unpacked.
            link = tree / PurePosixPath(path)
            link.parent.mkdir(parents=True, exist_ok=True)
            # A truncated file would give a trace that looks complete and is not.
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
            # Ends its children, too; and the program itself if its time is over.
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
            # Set from this process, not between fork and exec, which is unsafe with threads.
            with suppress(ProcessLookupError):
                resource.prlimit(pid, kind, (limit, limit))


def _in_memory() -> BinaryIO:
    """Open a file in memory, whose size the program's limits bound.

    On a full disk, a program that ignores the results of its writes would leave a partial trace,
    and succeed.
    """
    return os.fdopen(os.memfd_create("stackwalk"), "w+b")


def _written(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def _named_by(dump: Path) -> set[str]:
    """Return the symbols that a dump needs: a store may fetch each, and a build has thousands."""
    return {module.symbol_path for module in modules(dump)}

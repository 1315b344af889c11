"""The standard streams of the command line: they take any text, and a failing one is told.

A terminal or a pipe may have an encoding without the characters of a name (Windows, a locale of
Latin-1), a stream may be closed, and a disk that a result is written to may be full.
"""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from staging_api.cli.exits import FAILED


@contextmanager
def standard_streams() -> Iterator[None]:
    """Let the standard streams take any text in the block; end if standard output takes no more.

    Raises:
        SystemExit: by the code for failures, after a line about it, unless the reader of a pipe
            has gone.
    """
    # Not the one that a test gives, which reads what it has got.
    if type(sys.stdout) is io.TextIOWrapper:
        sys.stdout = _output(sys.stdout)
    # Those that were closed before this program began are None.
    sys.stdout = sys.stdout or _nowhere(1)
    sys.stderr = sys.stderr or _nowhere(2)
    try:
        try:
            yield
        finally:
            # What a verb wrote past `say` may still be on its way.
            sys.stdout.flush()
    except _OutputFailed as error:
        _leave(sys.stdout)
        if error.errno != errno.EPIPE:
            with suppress(OSError):
                text = f"staging-api: standard output cannot be written: {error.strerror}\n"
                sys.stderr.write(text)
                sys.stderr.flush()
        raise SystemExit(FAILED) from None


@contextmanager
def output_failures() -> Iterator[None]:
    """Turn an error of the disk or pipe of standard output into `_OutputFailed`."""
    try:
        yield
    except OSError as error:
        raise _OutputFailed(error.errno, error.strerror) from error


def takes(text: str) -> bool:
    """Whether the encoding of standard output has all characters of a text."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


class _OutputFailed(OSError):
    """Standard output takes no more; its number is the system's."""


class _Output(io.TextIOWrapper):
    """Standard output, whose errors cannot be taken for those of another file."""

    def write(self, text: str, /) -> int:
        with output_failures():
            return super().write(text)

    def flush(self) -> None:
        with output_failures():
            super().flush()


def _output(stream: io.TextIOWrapper) -> _Output:
    stream.flush()
    # Opened anew: its number may be of another kind of file by now, which an old buffer minds.
    raw = os.fdopen(
        stream.fileno(), "wb", buffering=0 if stream.write_through else -1, closefd=False
    )
    return _Output(
        raw,
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _nowhere(number: int) -> TextIO:
    """Open a standard stream that was closed.

    Its number, too: else the next socket or file would get it, and what other programs write there.
    """
    descriptor = os.open(os.devnull, os.O_WRONLY)
    if descriptor != number:
        os.dup2(descriptor, number)
        os.close(descriptor)
    return os.fdopen(number, "w", encoding="utf-8", closefd=False)


def _leave(stream: TextIO) -> None:
    """Let what is left in a stream go nowhere, so that the end of Python does not tell it again."""
    with suppress(OSError, ValueError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)
        stream.flush()

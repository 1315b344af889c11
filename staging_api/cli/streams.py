"""Standard streams of the command line: they accept any text, and a failure is reported.

A terminal or pipe may have an encoding that lacks the characters of a name (Windows, a locale with
Latin-1), a stream may be closed, and the disk for a result may be full.
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
    """Let the standard streams accept any text in the block; exit if standard output fails.

    Raises:
        SystemExit: with the code for failures, after a line about the failure, unless the reader of
            a pipe has closed it.
    """
    # A stream that a test installed is left alone: the test reads its contents.
    if type(sys.stdout) is io.TextIOWrapper:
        sys.stdout = _output(sys.stdout)
    # Streams that were closed before this program began are None.
    sys.stdout = sys.stdout or _nowhere(1)
    sys.stderr = sys.stderr or _nowhere(2)
    try:
        try:
            yield
        finally:
            # Flush text that a verb wrote without `say`.
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
    """Return whether the encoding of standard output has all characters of a text."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


class _OutputFailed(OSError):
    """Standard output failed; has the system's error number."""


class _Output(io.TextIOWrapper):
    """Standard output whose errors are distinguishable from those of other files."""

    def write(self, text: str, /) -> int:
        with output_failures():
            return super().write(text)

    def flush(self) -> None:
        with output_failures():
            super().flush()


def _output(stream: io.TextIOWrapper) -> _Output:
    stream.flush()
    # Opened anew: the descriptor may by now be a file of another kind, for which an old buffer
    # fails.
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

    Its descriptor is occupied, too: else the next socket or file would get it, and the output that
    other programs write to this descriptor.
    """
    descriptor = os.open(os.devnull, os.O_WRONLY)
    if descriptor != number:
        os.dup2(descriptor, number)
        os.close(descriptor)
    return os.fdopen(number, "w", encoding="utf-8", closefd=False)


def _leave(stream: TextIO) -> None:
    """Discard a stream's remaining text, so that Python does not report the error again at exit."""
    with suppress(OSError, ValueError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)
        stream.flush()

"""Concatenate files of documents into one text to post, and map its lines to lines of files.

``...`` between two files ends a document, so that the next file may begin with a directive; ``---``
is inserted before a file that begins with neither mark nor directive.
"""

import re
import sys
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from staging_api.cli.documents.messages import Message, diagnostic_of
from staging_api.errors import Invalid

_SUFFIXES = (".yaml", ".yml")
_STANDARD_INPUT = "-"
#: A document's mark, or a directive, after comments and empty lines.
_MARKED = re.compile(rb"(?:[ \t]*(?:#[^\r\n]*)?(?:\r\n?|\n))*(?:---(?=\s|\Z)|%)")
_COMMENTS = re.compile(rb"(?:[ \t]*(?:#[^\r\n]*)?(?:\r\n?|\n))*")
#: Line breaks as the service's reader of YAML 1.1 counts them.
_BREAK = re.compile(rb"\r\n|[\r\n]|\xc2\x85|\xe2\x80[\xa8\xa9]")


@dataclass(frozen=True)
class PostedText:
    """Contents of files, concatenated.

    Attributes:
        text: the whole text; for a single file its unchanged bytes.
        parts: for each file: the first line of the text, counted from 1, whose faults belong to the
            file; the line of the text that is the file's line 1; its name.
    """

    text: bytes
    parts: tuple[tuple[int, int, str], ...]

    def place(self, line: int) -> str:
        """Return the file and line for a line of the text."""
        begun = [part for part in self.parts if part[0] <= line] or self.parts[:1]
        _, first, name = begun[-1]
        return f"{name}:{max(line - first + 1, 1)}"

    def located(self, messages: Sequence[Message], collection: str) -> list[Message]:
        """Add ``place`` to messages that are about a line of this collection."""
        return [self._located(each, collection) for each in messages]

    def _located(self, message: Message, collection: str) -> Message:
        diagnostic: Any = diagnostic_of(message)
        line = diagnostic.get("line")
        if not isinstance(line, int) or diagnostic.get("collection", collection) != collection:
            return message
        return {**message, "place": self.place(line)}


def read_files(names: Sequence[str]) -> PostedText:
    """Read files, the files of folders, and standard input; each begins a new document.

    Raises:
        Invalid: a file cannot be read; a folder has no files; standard input is named twice.
    """
    if names.count(_STANDARD_INPUT) > 1:
        raise Invalid.field(_STANDARD_INPUT, "standard input can be read only once")
    files = [file for name in names for file in _files(name)]
    raws = [_read(file) for file in files]
    if len(files) == 1:
        return PostedText(raws[0], ((1, 1, files[0]),))
    return _joined(files, raws)


def as_text(raw: bytes) -> str:
    """Decode a YAML stream: UTF-8, or UTF-16 with a byte order mark.

    Raises:
        UnicodeDecodeError: the stream is neither.
    """
    if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return raw.decode("utf-16")
    return raw.removeprefix(BOM_UTF8).decode()


def _joined(files: Sequence[str], raws: Sequence[bytes]) -> PostedText:
    text, parts, line = bytearray(), [], 1
    for file, raw in zip(files, raws, strict=True):
        content = _utf8(file, raw)
        # Without a final line break, the last line would continue in the next file.
        content += b"" if content.endswith((b"\n", b"\r")) or not content else b"\n"
        # After comments alone there is no document to end.
        if not _COMMENTS.fullmatch(text):
            # ``...`` makes the parser report an unclosed construct here, with a line of the file
            # that has it.
            text += b"...\n"
            line += 1
        mark = b"" if _MARKED.match(content) else b"---\n"
        parts.append((line, line + bool(mark), file))
        text += mark + content
        line += len(_BREAK.findall(mark + content))
    return PostedText(bytes(text), tuple(parts))


def _utf8(file: str, raw: bytes) -> bytes:
    try:
        return as_text(raw).encode()
    except UnicodeDecodeError:
        message = "must be UTF-8, or UTF-16 with its mark"
        raise Invalid.field(file, message) from None


def _files(name: str) -> Iterator[str]:
    path = Path(name)
    if name == _STANDARD_INPUT or not path.is_dir():
        yield name
        return
    below = (each for each in path.rglob("*") if each.suffix in _SUFFIXES)
    found = sorted(each for each in below if not each.is_dir())
    if not found:
        raise Invalid.field(name, f"has no {' or '.join(_SUFFIXES)} file")
    yield from map(str, found)


def _read(name: str) -> bytes:
    if name == _STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise Invalid.field(name, f"cannot be read: {error.strerror}") from None

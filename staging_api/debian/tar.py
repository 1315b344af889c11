"""Strict parser of small tar archives in memory, so that all tools agree on the files in them.

`tarfile` could be used, at a tenth of the speed, but it is lenient by design: it follows links,
lets pax headers rename members, and skips damaged headers. Here, each of these is an error.
"""

import re

from staging_api.debian.errors import FormatError

_BLOCK = 512
_FILES = frozenset({b"0", b"\0"})
_FOLDER = b"5"
_PAX = frozenset({b"x", b"g"})
_NAME = slice(0, 100)
_SIZE = slice(124, 136)
_CHECKSUM = slice(148, 156)
_TYPE = slice(156, 157)
_MAGIC = slice(257, 263)
_PREFIX = slice(345, 500)
_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")

# Pax records for fractional times, long user names and the like are harmless. Records with these
# words change the name or the end of the next member, so a reader without pax support would see
# another archive.
_PAX_DANGEROUS = (b"path", b"size", b"sparse")


def tar_files(data: bytes, limit: int) -> dict[str, bytes]:
    """Return the regular files by path, without ``./`` in front.

    Args:
        data: the whole archive, unpacked.
        limit: maximum number of members.

    Raises:
        FormatError: a name is repeated, leaves the folder or is not normalised; a member is neither
            file nor folder; a header is damaged; or there are too many members.
    """
    files: dict[str, bytes | None] = {}
    position = 0
    for _ in range(limit):
        header = data[position : position + _BLOCK]
        if header.count(0) == len(header):
            _refuse_hidden(data, position)
            return {path: content for path, content in files.items() if content is not None}
        start, size = position + _BLOCK, _checked_size(header)
        position = start + -(-size // _BLOCK) * _BLOCK
        if position > len(data):
            raise FormatError("The control member is cut short")
        _add(files, header, data[start : start + size])
    raise FormatError(f"The control member has more than {limit} members")


def _checked_size(header: bytes) -> int:
    checksum, size = _OCTAL.fullmatch(header[_CHECKSUM]), _OCTAL.fullmatch(header[_SIZE])
    # The sum counts the checksum field itself as eight blanks.
    actual = sum(header) - sum(header[_CHECKSUM]) + 8 * ord(" ")
    if checksum is None or size is None or int(checksum[1], 8) != actual:
        raise FormatError("The control member has a damaged tar header")
    return int(size[1], 8)


def _refuse_hidden(data: bytes, position: int) -> None:
    if data.count(0, position) < len(data) - position:
        raise FormatError("The control member has something behind its end")


def _add(files: dict[str, bytes | None], header: bytes, content: bytes) -> None:
    """Add one member: a file with its content, a folder with None."""
    kind = header[_TYPE]
    if kind in _PAX:
        if any(word in content for word in _PAX_DANGEROUS):
            raise FormatError("The control member has a pax header that renames or resizes")
        return
    path = _path(header)
    if path in files:
        raise FormatError(f"The control member has {path!r} twice")
    # Some tools skip the bytes of a folder, others read them as the next header.
    if kind not in _FILES and (kind != _FOLDER or content):
        raise FormatError(f"The control member has {path!r}, neither file nor empty folder")
    files[path] = content if kind in _FILES else None


def _path(header: bytes) -> str:
    name = header[_NAME].partition(b"\0")[0].decode(errors="replace")
    folder = header[_TYPE] == _FOLDER
    if folder and name in (".", "./"):
        return "."
    path = name.removeprefix("./")
    path = path.removesuffix("/") if folder else path
    # Only the POSIX format stores the start of a long name in this field; control files need no
    # long names.
    long = header[_MAGIC] == b"ustar\0" and header[_PREFIX].strip(b"\0")
    if long or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise FormatError(f"The control member has the unsafe name {name!r}")
    return path

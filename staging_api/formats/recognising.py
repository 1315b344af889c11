"""Recognise objects that are not the expected container file, by their first bytes.

"The tar is damaged" makes people look for a fault of the network or the disk. Far more often the
object is intact, but of another kind: the page of a login, a zip with a name that ends in tar.
"""

import re

#: Length of a tar header; the first bytes that identify each format are within this length.
HEAD_BYTES = 512
_USTAR = slice(257, 262)
_UNPACKED_BY = "it is a {}, which `extract: {}` unpacks"
_COMPRESSED = "it is compressed with {}, which is not read; gzip, bzip2, xz and zstd are"
_CONTAINER = "it is {}, which is not unpacked; tar and zip are"
_PAGE = "it is a web page: the archive may need a credential, or show an error with status 200"

#: The start of a JSON document. Compared only with data that is not readable as a header.
_JSON = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:\{\s*[\"}]|\[\s*[\[\]{\"])")
_BROTLI = ".br"

#: Formats that `unpacked` can read.
_READ = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
#: Meaning of the first bytes, as the published formats define them; plain LZMA files have no
#: signature, so their usual properties are matched.
_KINDS: dict[bytes, str] = {
    b"PK\x03\x04": _UNPACKED_BY.format("zip", "zip"),
    b"\x1f\x9d": _COMPRESSED.format("compress (.Z)"),
    b"LZIP": _COMPRESSED.format("lzip"),
    b"\x04\x22\x4d\x18": _COMPRESSED.format("lz4"),
    b"\x5d\x00\x00": _COMPRESSED.format("lzma (without xz)"),
    b"\x89LZO\x00": _COMPRESSED.format("lzop"),
    # Deflate with a window of 32 KiB, at each of its four levels.
    **dict.fromkeys(
        (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"),
        _COMPRESSED.format("zlib (without gzip)"),
    ),
    b"MSCF\0\0\0\0": _CONTAINER.format("a cabinet (.cab)"),
    b"7z\xbc\xaf\x27\x1c": _CONTAINER.format("a 7z file"),
    b"Rar!\x1a\x07": _CONTAINER.format("a RAR file"),
    b"!<arch>\n": _CONTAINER.format("an ar file, as a .deb is"),
    b"\xed\xab\xee\xdb": _CONTAINER.format("an RPM package"),
    # Its forms newc, crc and odc, and the binary ones.
    **dict.fromkeys(
        (b"070701", b"070702", b"070707", b"\xc7\x71", b"\x71\xc7"),
        _CONTAINER.format("a cpio file"),
    ),
    b"hsqs": _CONTAINER.format("a squashfs image"),
    b"version https://git-lfs.github.com/spec/": (
        "it is a pointer of Git LFS: the archive has it in the place of the object"
    ),
    b"<?xml": "it is an XML document, as buckets answer errors",
}


def instead_of_tar(head: bytes, name: str = "") -> str:
    """Explain why an object is not a tar, after its first header was unreadable.

    Args:
        head: the first bytes of the object.
        name: name of the object; only the name identifies brotli, which has no signature.
    """
    if not head:
        return "this is not a tar: it is empty"
    kind = _kind(head)
    if kind is None and (packing := _of_mark(_READ, head)):
        kind = f"it is compressed twice, the second time with {packing}"
    if kind is None and name.endswith(_BROTLI):
        kind = _COMPRESSED.format("brotli, as its name says")
    return f"this is not a tar: {kind}" if kind else "the tar is damaged"


def instead_of_zip(head: bytes) -> str:
    """Explain why an object without a directory is not a zip."""
    if not head:
        return "this is not a zip: it is empty"
    if head.startswith(b"PK\x03\x04"):
        return "the zip is truncated: the directory at its end is missing"
    if head[_USTAR] == b"ustar":
        kind: str | None = _UNPACKED_BY.format("tar", "tar")
    elif packing := _of_mark(_READ, head):
        kind = f"it is compressed with {packing}: `extract: tar` or `decompressed` unpacks that"
    else:
        kind = _kind(head)
    return f"this is not a zip: {kind or 'it has no directory'}"


def unread_compression(head: bytes) -> str | None:
    """Return which compression, that is not read, an object has; None: no sign of one.

    Signs of less than four bytes are not used: the object may be of any kind.
    """
    found = _of_mark({mark: text for mark, text in _KINDS.items() if len(mark) > 3}, head)  # noqa: PLR2004
    return found if found and found.startswith("it is compressed") else None


def _kind(head: bytes) -> str | None:
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:14].lower().startswith((b"<!doctype html", b"<html")):
        return _PAGE
    if _JSON.match(head):
        return "it is a JSON document, as services answer errors"
    return _of_mark(_KINDS, head)


def _of_mark(texts: dict[bytes, str], head: bytes) -> str | None:
    return next((text for mark, text in texts.items() if head.startswith(mark)), None)

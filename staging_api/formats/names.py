"""Member names: decode, fold and check them.

A folded name has neither empty segments nor ``.``: ``./a``, ``a//b`` and ``a/./b`` become ``a`` and
``a/b``, as in tar and unzip. A name is unsafe if it is absolute, contains ``..``, has a segment too
long for file systems, or has characters that control a terminal or reverse the text after them.
All other names are ordinary, even with a backslash, a no-break space or a joiner of emoji.
"""

import unicodedata

_MAX_SEGMENT_BYTES = 255
#: Control characters, surrogates, and line and paragraph separators.
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
#: Characters that change the direction of the following text, so that a name looks like another one
#: (CVE-2021-42574).
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def folded(name: str) -> str:
    """Return a relative name without empty segments and ``.``; empty for the root itself."""
    if name.isascii() and "/./" not in name and "//" not in name and name[:1] not in (".", "/"):
        return name.removesuffix("/").removesuffix("/.")
    return "/".join(segment for segment in name.split("/") if segment not in ("", "."))


def unsafe(name: str) -> str:
    """Return why a name is not safe; empty if it is safe."""
    if name.startswith("/"):
        return "has an absolute name"
    segments = name.split("/")
    if ".." in segments:
        return "has .. in its name"
    if not name.isprintable() and has_unsafe_character(name):
        return "has a control character in its name"
    if len(name) > _MAX_SEGMENT_BYTES // 4 and any(map(_is_long, segments)):
        return f"has a name segment over {_MAX_SEGMENT_BYTES} bytes"
    return ""


def has_unsafe_character(name: str) -> bool:
    """Return whether a character of the name controls a terminal, or the text after it."""
    return any(
        unicodedata.category(character) in _UNSAFE_CATEGORIES or character in _DIRECTIONS
        for character in name
    )


def from_bytes(raw: bytes, otherwise: str = "cp1252") -> str:
    """Decode a name: as UTF-8, or else in the 8-bit encoding `otherwise`."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        pass
    try:
        return raw.decode(otherwise)
    except UnicodeDecodeError:  # one of five bytes that cp1252 does not define, so not Latin text
        return raw.decode("cp437")


def repaired(name: str) -> str:
    """Decode a name whose bytes were not UTF-8 and were escaped as surrogates (PEP 383)."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return from_bytes(name.encode("utf-8", "surrogateescape"))
    return name


def shown(name: str) -> str:
    """Return a name for error messages: at most 80 characters, ASCII only."""
    return ascii(name[:80])


def _is_long(segment: str) -> bool:
    return len(segment.encode("utf-8", "surrogatepass")) > _MAX_SEGMENT_BYTES

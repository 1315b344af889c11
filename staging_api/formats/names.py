"""Names of members: decoded, folded as programs that unpack fold them, and judged.

A folded name has neither empty segments nor ``.``: ``./a``, ``a//b`` and ``a/./b`` are ``a`` and
``a/b``, as they are for tar and unzip. An unsafe name is absolute, leads upwards with ``..``, has a
segment that no file system takes, or characters that act on a terminal or reverse the text behind
them. Everything else is an ordinary name: a backslash, a no-break space, a joiner of emoji.
"""

import unicodedata

_MAX_SEGMENT_BYTES = 255
#: Control characters, halves of characters, and what ends a line or a paragraph.
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
#: Characters that change the direction of what is shown behind them, so that a name looks like
#: another one (CVE-2021-42574).
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def folded(name: str) -> str:
    """Return a relative name without empty segments and ``.``; empty for the root itself."""
    if name.isascii() and "/./" not in name and "//" not in name and name[:1] not in (".", "/"):
        return name.removesuffix("/").removesuffix("/.")
    return "/".join(segment for segment in name.split("/") if segment not in ("", "."))


def unsafe(name: str) -> str:
    """Say why a name is not safe; empty if it is."""
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
    """Whether a character of the name acts on a terminal, or on the text behind it."""
    return any(
        unicodedata.category(character) in _UNSAFE_CATEGORIES or character in _DIRECTIONS
        for character in name
    )


def from_bytes(raw: bytes, otherwise: str = "cp1252") -> str:
    """Decode a name: UTF-8, or else the 8-bit encoding that such files have."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        pass
    try:
        return raw.decode(otherwise)
    except UnicodeDecodeError:  # one of the five bytes that cp1252 leaves out: of no Latin text
        return raw.decode("cp437")


def repaired(name: str) -> str:
    """Decode a name whose bytes were no UTF-8 and are escaped in it (PEP 383)."""
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

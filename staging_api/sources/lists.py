"""Parser of lists of names, in every form that publishers use: pure functions over bytes.

| form | an entry |
|---|---|
| text | a line: ``image.zip``, ``./image.zip`` (of find); ``folder/`` (of ls -p) is left out |
| checksums | ``<hex>  name``, ``<hex> *name`` (of sha256sum), ``sha256:<hex>  name``, |
|  | ``SHA256 (name) = <hex>`` (of BSD), ``SHA2-256(name)= <hex>`` (of openssl); a backslash |
|  | before either means that the name has escapes |
| JSON | a list, an object with such a list, or a line each: texts, or objects with a name |

The form is detected by the content, because file names say little about it. The signature of a
clearsigned text (OpenPGP) is ignored.
"""

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from staging_api.errors import ArchiveCorrupt

_SUM = re.compile(
    r"(?P<escaped>\\)?(?:(?P<kind>[A-Za-z0-9-]+):)?"
    r"(?P<hex>(?:[0-9A-Fa-f]{8}){4,5}|(?:[0-9A-Fa-f]{8}){7,8}|[0-9A-Fa-f]{96}|[0-9A-Fa-f]{128})"
    r"(?: [ *]|\t+| )(?P<name>.+)",
    re.DOTALL,
)
#: Algorithms of any kind, so that the names are found in lists without a digest known here.
_BSD_SUM = re.compile(
    r"(?P<escaped>\\)?(?P<kind>[A-Za-z0-9/-]*) ?\((?P<name>.+)\) ?= ?(?P<hex>[0-9A-Fa-f]{8,}|\d+)",
    re.DOTALL,
)
#: Escapes in names: of sha256sum, which escapes the carriage return since coreutils 9.0.
_ESCAPES = {"\\n": "\n", "\\r": "\r", "\\\\": "\\"}
_COMMENTS = ("#", ";")
_CLEAR_SIGNED = re.compile(
    r"-----BEGIN PGP SIGNED MESSAGE-----\n(?:\S.*\n)*\s*\n(?P<text>.*?)"
    r"^-----BEGIN PGP SIGNATURE-----",
    re.DOTALL | re.MULTILINE,
)
_ALGORITHMS = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}
#: Strongest last; sha256 is the cheapest of the unbroken ones. Others are not computed here.
_STRENGTHS = ("md5", "sha512", "sha256")
#: Keys of a JSON object for its name, and for its list of entries.
_NAME_KEYS = ("name", "path", "key", "Key", "file", "filename", "fileName", "Name", "Path")
_LIST_KEYS = ("files", "objects", "artifacts", "assets", "items", "entries", "names", "Contents")
#: Start of a JSON list; lists of other forms do not begin like this, although a name may begin with
#: a bracket.
_JSON_BEGINS = re.compile(r'\s*(?:\{\s*"|\[\s*["{])')
_BYTE_ORDER_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def text_of(raw: bytes | bytearray, called: str) -> str:
    """Decode a list: UTF-8, or the encoding of its byte order mark.

    Raises:
        ArchiveCorrupt: the list is not text.
    """
    try:
        return bytes(raw).decode(_encoding_of(raw))
    except UnicodeDecodeError:
        raise ArchiveCorrupt(f"{called} is not a list of names in UTF-8") from None


def names_in(raw: bytes | bytearray, called: str) -> list[str]:
    """Return the names in a list of any form, in order and without duplicates.

    Raises:
        ArchiveCorrupt: the list is not text, or is truncated JSON.
    """
    text = _without_signature(text_of(raw, called))
    listed = _json_names(text)
    if listed is None and _JSON_BEGINS.match(text):
        raise ArchiveCorrupt(f"{called} begins as JSON and is none: it may be cut off")
    if listed is None:
        found = [_sum_in(line) for line in _lines(text) if not line.startswith(_COMMENTS)]
        sums = [each.name for each in found if each is not None]
        listed = iter(sums) if sums and None not in found else _lines(text)
    return list(dict.fromkeys(_folded(name) for name in listed if not name.endswith("/")))


def is_markup(raw: bytes) -> bool:
    """Return whether the bytes are a web page or XML, which some sites send in place of any file.

    The encoding does not matter: pages of old servers are in Latin-1.
    """
    return raw.decode(_encoding_of(raw), errors="replace").lstrip().startswith("<")


def sums_in(text: str) -> dict[str, tuple[str, str]]:
    """Return algorithm and digest in lower-case hex by name; lines without a checksum are skipped.

    Of several checksums of one name the strongest is used. One of an algorithm that is not computed
    here is used only if there is no other.
    """
    found: dict[str, tuple[str, str]] = {}
    for each in filter(None, map(_sum_in, _lines(text))):
        known = found.get(each.name)
        if known is None or _strength(each.algorithm) >= _strength(known[0]):
            found[each.name] = (each.algorithm, each.digest)
    return found


def is_folder(value: Mapping[str, Any]) -> bool:
    """Return whether an entry of a JSON listing is a folder, in the format of nginx or Caddy."""
    return value.get("type") == "directory" or value.get("is_dir") is True


def _encoding_of(raw: bytes | bytearray) -> str:
    marked = (name for mark, name in _BYTE_ORDER_MARKS.items() if raw.startswith(mark))
    return next(marked, "utf-8-sig")


class _Sum(NamedTuple):
    """A line of a list of checksums; an unknown `algorithm` has its name in the line."""

    name: str
    algorithm: str
    digest: str


def _sum_in(line: str) -> _Sum | None:
    match = _SUM.fullmatch(line) or _BSD_SUM.fullmatch(line)
    if match is None:
        return None
    name = match["name"]
    if match["escaped"]:
        name = re.sub(r"\\[nr\\]", lambda escape: _ESCAPES[escape[0]], name)
    kind, by_length = match["kind"], _ALGORITHMS.get(len(match["hex"]))
    folded = kind and re.sub("^sha2-", "sha", kind.lower()).replace("-", "")
    # Another algorithm, such as BLAKE2, may have as many digits.
    algorithm = by_length if by_length and folded in (None, "", by_length) else kind or "digest"
    return _Sum(_folded(name), algorithm, match["hex"].lower())


def _without_signature(text: str) -> str:
    """Return the text inside a clearsigned text, or else the text itself."""
    plain = text.replace("\r\n", "\n")
    signed = _CLEAR_SIGNED.match(plain) if plain.startswith("-----BEGIN PGP ") else None
    return text if signed is None else re.sub("^- ", "", signed["text"], flags=re.MULTILINE)


def _strength(algorithm: str) -> int:
    return _STRENGTHS.index(algorithm) if algorithm in _STRENGTHS else -1


def _lines(text: str) -> Iterator[str]:
    # Not splitlines(): a form feed, or U+2028, can be part of a name.
    for line in text.replace("\r\n", "\n").split("\n"):
        if line.strip():
            yield line.strip()


def _folded(name: str) -> str:
    """Return a name without the segments that mean "this folder"."""
    while name.startswith("./") and name != "./":
        name = name[2:].lstrip("/") if name.startswith(".//") else name[2:]
    return name.replace("/./", "/")


def _json_names(text: str) -> Iterable[str] | None:
    """Return the names that a JSON text lists; None if it is not JSON."""
    if text.lstrip()[:1] not in ("[", "{"):
        return None
    for read in (_one_value, _value_a_line):
        try:
            return _names_of(read(text))
        except (ValueError, RecursionError):
            continue
    return None


def _one_value(text: str) -> Any:
    return json.loads(text)


def _value_a_line(text: str) -> Any:
    return [json.loads(line) for line in _lines(text)]


def _names_of(value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        for key in _LIST_KEYS:
            if isinstance(value.get(key), list | Mapping):
                return _names_of(value[key])
        own = [value] if any(isinstance(value.get(key), str) for key in _NAME_KEYS) else list(value)
        return _names_of(own)
    if not isinstance(value, list):
        return []
    return [name for each in value if (name := _name_of(each)) is not None]


def _name_of(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping) or is_folder(value):
        return None
    return next((value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)), None)

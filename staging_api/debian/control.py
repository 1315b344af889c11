"""Stanzas of ``Field: value`` lines: the format of control files, .dsc files and index files.

Parsing is strict wherever leniency would let two parsers read the same stanza differently: a stanza
has no blank line inside (the rest would become another package of the index), no repeated field,
and no control character.
"""

import re
from collections.abc import Iterator, Mapping

from staging_api.debian.errors import FormatError
from staging_api.debian.names import package_name

#: Fields of a stanza by lower-case name: by policy, field names are compared without regard to
#: case.
Fields = Mapping[str, str]

_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
# No Latin-1 letter has one of these bytes, but most texts in other single-byte encodings, and
# truncated UTF-8, contain one.
_NOT_LATIN_1 = re.compile(r"[\x80-\x9f]")

# One field with its continuation lines, or else everything from the first line that is not a field:
# matching less would retry at every later position. Field names are those that policy allows. A
# line of only blanks is no continuation, because some parsers end the stanza there.
_FIELD = re.compile(r"([!-\"$-,.-9;-~][!-9;-~]*):[ \t]*(.*(?:\n[ \t]+\S.*)*)(?:\n|\Z)|([\s\S]+)")
_NEXT_FIELD = re.compile(r"\n(?![ \t])")
# The fields of deb-control(5) and dsc(5).
_SPELLING = {
    name.lower(): name
    for name in (
        *("Package", "Source", "Version", "Architecture", "Maintainer", "Original-Maintainer"),
        *("Installed-Size", "Depends", "Pre-Depends", "Recommends", "Suggests", "Enhances"),
        *("Breaks", "Conflicts", "Provides", "Replaces", "Built-Using", "Static-Built-Using"),
        *("Section", "Priority", "Multi-Arch", "Homepage", "Description", "Essential", "Protected"),
        *("Important", "Origin", "Bugs", "Tag", "Task", "Build-Essential", "Build-Ids"),
        *("Package-Type", "Kernel-Version", "Subarchitecture", "Installer-Menu-Item"),
        *("Auto-Built-Package", "Cnf-Extra-Commands", "Python-Version", "Ruby-Versions"),
        *("Format", "Binary", "Uploaders", "Standards-Version", "Package-List", "Dgit"),
        *("Build-Depends", "Build-Depends-Arch", "Build-Depends-Indep"),
        *("Build-Conflicts", "Build-Conflicts-Arch", "Build-Conflicts-Indep"),
        *("Vcs-Browser", "Vcs-Arch", "Vcs-Bzr", "Vcs-Cvs", "Vcs-Darcs", "Vcs-Git", "Vcs-Hg"),
        *("Vcs-Mtn", "Vcs-Svn", "Testsuite", "Testsuite-Triggers", "Testsuite-Restrictions"),
        *("Files", "Checksums-Sha1", "Checksums-Sha256"),
    )
}
_SOURCE = re.compile(r"(\S+)(?: +\((\S+)\))?")


def decode_stanza(raw: bytes, limit_bytes: int) -> tuple[str, bool]:
    """Decode one stanza without newlines around it; return it with whether it was Latin-1.

    Old packages have names of people in Latin-1. Other archive tools copy the bytes, so their index
    has several encodings; here the stanza is decoded, so that the index can have the same text as
    UTF-8.

    Raises:
        FormatError: the stanza is too long, neither UTF-8 nor Latin-1, or has a control character.
    """
    if len(raw) > limit_bytes:
        raise FormatError(f"The control file has more than {limit_bytes} bytes")
    latin_1 = False
    try:
        text = raw.decode("utf-8").strip("\n")
    except UnicodeDecodeError as error:
        latin_1, text = True, raw.decode("latin-1").strip("\n")
        if _NOT_LATIN_1.search(text):
            raise FormatError(f"The control file is neither UTF-8 nor Latin-1: {error}") from error
    if found := _CONTROL_CHARACTER.search(text):
        raise FormatError(f"The control file has the character {found[0]!r}")
    return text, latin_1


def parse_stanza(text: str) -> dict[str, str]:
    """Parse one stanza into fields by lower-case name, in their order.

    A value of several lines keeps its newlines and the blank that starts each further line.

    Raises:
        FormatError: a line is neither a field nor a continuation, or a field is repeated.
    """
    found: list[tuple[str, str, str]] = _FIELD.findall(text)
    fields = {name.lower(): value.rstrip() for name, value, _ in found}
    if len(fields) < len(found) or "" in fields:
        raise FormatError(f"The control file has a wrong or repeated line: {_wrong_line(text)}")
    return fields


def split_stanzas(text: str) -> Iterator[str]:
    """Split an index file written by this service into its stanzas, without blank lines."""
    return (stanza for stanza in text.split("\n\n") if stanza)


def without_fields(text: str, names: frozenset[str]) -> str:
    """Return a stanza without the fields with these lower-case names; the rest is unchanged."""
    kept: list[str] = []
    keep = True
    for line in text.split("\n"):
        if line[:1] not in (" ", "\t"):
            keep = line.partition(":")[0].lower() not in names
        if keep:
            kept.append(line)
    return "\n".join(kept)


def usual(text: str, first: str) -> str:
    """Return a stanza with known field names in their usual spelling, and one field first.

    Values, other fields and the order of the rest stay unchanged.

    Args:
        text: a stanza that `parse_stanza` accepts.
        first: name of the field that readers of index files look for first.
    """
    fields = [_spelt(field) for field in _NEXT_FIELD.split(text)]
    fields.sort(key=lambda field: not field.startswith(f"{first}:"))
    return "\n".join(fields)


def required(fields: Fields, name: str) -> str:
    """Return the value of a required field, which must not be empty.

    Raises:
        FormatError: the field is missing or empty.
    """
    value = fields.get(name.lower(), "")
    if not value:
        raise FormatError(f"{name}: the field is missing or empty")
    return value


def source_of(fields: Fields) -> tuple[str, str]:
    """Return name and version of the source that a binary package was built from.

    Both default to those of the binary: ``Source`` is written only if they differ.

    Raises:
        FormatError: ``Source`` is not ``name`` or ``name (version)``.
    """
    package, version = required(fields, "Package"), required(fields, "Version")
    match = _SOURCE.fullmatch(fields.get("source", package))
    if match is None:
        raise FormatError(f"Source: {fields['source'][:80]!r} is not 'name' or 'name (version)'")
    return package_name(match[1]), match[2] or version


def _spelt(field: str) -> str:
    name, colon, value = field.partition(":")
    return f"{_SPELLING.get(name.lower(), name)}{colon}{value}"


def _wrong_line(text: str) -> str:
    """Return the first line that makes a stanza unreadable, for the error message."""
    seen: set[str] = set()
    for field in _FIELD.finditer(text):
        name = (field[1] or "").lower()
        if not name or name in seen:
            break
        seen.add(name)
    return repr(text[field.start() :].partition("\n")[0][:80])

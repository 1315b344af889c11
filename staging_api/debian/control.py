"""Stanzas of ``Field: value`` lines: the form of control files, .dsc files and index files.

Parsing is strict where leniency would let two readers see two things: a stanza has no blank line
inside (the rest would become another package of the index), no field twice, no control character.
"""

import re
from collections.abc import Iterator, Mapping

from staging_api.debian.errors import FormatError
from staging_api.debian.names import package_name

#: Fields of a stanza by lower-case name, since policy compares names without regard to case.
Fields = Mapping[str, str]

_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
# No letter has one of these bytes; other encodings of one byte, and UTF-8 cut short, mostly do.
_NOT_LATIN_1 = re.compile(r"[\x80-\x9f]")

# One field with the lines that continue it; or else, all the rest, from where it is not a field:
# taking less would try every later place again. A name is what policy allows. A line of blanks
# alone continues nothing, since some readers end the stanza there.
_FIELD = re.compile(r"([!-\"$-,.-9;-~][!-9;-~]*):[ \t]*(.*(?:\n[ \t]+\S.*)*)(?:\n|\Z)|([\s\S]+)")
_NEXT_FIELD = re.compile(r"\n(?![ \t])")
# Those of deb-control(5) and dsc(5).
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
    """The text of one stanza, newlines around it removed; and whether it was Latin-1.

    Old packages have Latin-1 in names of people. Other archive tools copy the bytes, which makes an
    index of several encodings; as each of them is a letter, ours can have the same text as UTF-8.

    Raises:
        FormatError: it is too long, neither of the two, or holds a control character.
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
    """The fields of one stanza by lower-case name, in their order.

    A value of several lines keeps its newlines and the blank that opens each further line.

    Raises:
        FormatError: a line is neither a field nor its continuation, or a field comes twice.
    """
    found: list[tuple[str, str, str]] = _FIELD.findall(text)
    fields = {name.lower(): value.rstrip() for name, value, _ in found}
    if len(fields) < len(found) or "" in fields:
        raise FormatError(f"The control file has a wrong or repeated line: {_wrong_line(text)}")
    return fields


def split_stanzas(text: str) -> Iterator[str]:
    """The stanzas of an index file that we wrote, without their blank lines."""
    return (stanza for stanza in text.split("\n\n") if stanza)


def without_fields(text: str, names: frozenset[str]) -> str:
    """A stanza as it was, less the fields with these lower-case names."""
    kept: list[str] = []
    keep = True
    for line in text.split("\n"):
        if line[:1] not in (" ", "\t"):
            keep = line.partition(":")[0].lower() not in names
        if keep:
            kept.append(line)
    return "\n".join(kept)


def usual(text: str, first: str) -> str:
    """A stanza with the names of known fields in their usual spelling, and one field first.

    Values, further fields and the order of the rest stay as they are.

    Args:
        text: a stanza that `parse_stanza` takes.
        first: the name of the field that readers of index files look for first.
    """
    fields = [_spelt(field) for field in _NEXT_FIELD.split(text)]
    fields.sort(key=lambda field: not field.startswith(f"{first}:"))
    return "\n".join(fields)


def required(fields: Fields, name: str) -> str:
    """The value of a field that must be there and not be empty.

    Raises:
        FormatError: it is not, or it is.
    """
    value = fields.get(name.lower(), "")
    if not value:
        raise FormatError(f"{name}: the field is missing or empty")
    return value


def source_of(fields: Fields) -> tuple[str, str]:
    """Name and version of the source that a binary was built from.

    Both default to the binary's own: ``Source`` is written only where they differ.

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
    """The first line that made a stanza unreadable, to be shown."""
    seen: set[str] = set()
    for field in _FIELD.finditer(text):
        name = (field[1] or "").lower()
        if not name or name in seen:
            break
        seen.add(name)
    return repr(text[field.start() :].partition("\n")[0][:80])

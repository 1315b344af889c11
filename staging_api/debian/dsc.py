"""Source packages: a .dsc, and the files that it lists with size and SHA-256.

A .dsc is usually clearsigned. Only the signed part is used: text before or after it is refused, not
skipped. The upload's policy decides whether the signature is good;
`SourcePackage.clearsigned` says whether there is one.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from staging_api.debian import control
from staging_api.debian.errors import FormatError
from staging_api.debian.names import package_name, safe_file_name
from staging_api.debian.version import Version, parse_version

#: Limit of the size of a .dsc; Debian's largest has about 200 kB (a kernel's list of packages).
MAX_DSC_BYTES = 4 << 20

#: Limit of the number of files in one .dsc; Debian's largest lists 40.
MAX_FILES = 1000

_BEGIN = "-----BEGIN PGP SIGNED MESSAGE-----\n"
_CLEARSIGNED = re.compile(
    _BEGIN + r"(?:[A-Za-z]+: .*\n)*\n"
    r"(?P<text>(?:(?!-----).*\n)*)"
    r"-----BEGIN PGP SIGNATURE-----\n(?:(?!-----).*\n)*-----END PGP SIGNATURE-----\n*"
)
_DASH_ESCAPE = re.compile(r"^- ", re.MULTILINE)
_FILE_LINE = re.compile(r" ([0-9a-f]{64}) ([0-9]{1,15}) (\S+)")
_FORMATS = frozenset({"1.0", "3.0 (native)", "3.0 (quilt)", "3.0 (git)", "3.0 (custom)"})


@dataclass(frozen=True)
class SourceFile:
    """A file of a source package."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class SourcePackage:
    """Checked metadata of a .dsc.

    Attributes:
        control: its stanza without signature, with known fields in their usual spelling.
        fields: the fields of the stanza by lower-case name.
        package: the name of the source.
        version: the version of the source.
        files: the files that it lists, which do not include the .dsc itself.
        dsc: the .dsc, under the name that Debian gives it.
        clearsigned: whether it has a signature; the signature is not verified.
        latin_1: whether it was Latin-1, and not UTF-8.
    """

    control: str
    fields: Mapping[str, str] = field(repr=False)
    package: str
    version: Version
    files: tuple[SourceFile, ...]
    dsc: SourceFile
    clearsigned: bool
    latin_1: bool


def read_dsc(raw: bytes) -> SourcePackage:
    """Parse a .dsc.

    Raises:
        FormatError: the .dsc is malformed, unsafe or over a limit.
    """
    whole, latin_1 = control.decode_stanza(raw, MAX_DSC_BYTES)
    text = _signed_text(whole)
    fields = control.parse_stanza(text)
    if fields.get("format") not in _FORMATS:
        raise FormatError(f"Format: {fields.get('format')!r} is not one of {sorted(_FORMATS)}")
    package = package_name(control.required(fields, "Source"))
    version = parse_version(control.required(fields, "Version"))
    dsc_name = safe_file_name(f"{package}_{version.without_epoch}.dsc")
    return SourcePackage(
        control=control.usual(text, "Source"),
        fields=fields,
        package=package,
        version=version,
        files=_files(control.required(fields, "Checksums-Sha256"), package, dsc_name),
        dsc=SourceFile(dsc_name, len(raw), hashlib.sha256(raw).hexdigest()),
        clearsigned=text != whole,
        latin_1=latin_1,
    )


def check_files(source: SourcePackage, found: Mapping[str, SourceFile]) -> None:
    """Compare the files that a .dsc lists with the uploaded files, by name.

    Raises:
        FormatError: a listed file is missing, or has another size or hash. Uploaded files that are
            not listed are left to the caller.
    """
    for listed in source.files:
        actual = found.get(listed.name)
        if actual is None:
            raise FormatError(f"{listed.name} is listed in {source.dsc.name} and is missing")
        if actual != listed:
            raise FormatError(f"{listed.name} differs from what {source.dsc.name} lists")


def _signed_text(whole: str) -> str:
    if not whole.startswith("-----"):
        return whole
    match = _CLEARSIGNED.fullmatch(whole)
    if match is None:
        raise FormatError("The .dsc is not one clearsigned text and nothing else")
    return _DASH_ESCAPE.sub("", match["text"]).strip("\n")


def _files(value: str, package: str, dsc_name: str) -> tuple[SourceFile, ...]:
    """Parse the lines of Checksums-Sha256: hash, size, name."""
    first, *lines = value.split("\n")
    matches = [_FILE_LINE.fullmatch(line) for line in lines[:MAX_FILES]]
    files = tuple(SourceFile(m[3], int(m[2]), m[1]) for m in matches if m)
    names = {safe_file_name(file.name) for file in files}
    if first or not files or len(files) != len(lines) or len(names) != len(files):
        raise FormatError("Checksums-Sha256: not one line of hash, size and name for each file")
    # All files of a source, of all its versions, share one folder of the pool.
    if stray := [name for name in names if not name.startswith(f"{package}_")] or names & {
        dsc_name
    }:
        raise FormatError(f"Checksums-Sha256: {sorted(stray)} is not a file of {package}")
    return files

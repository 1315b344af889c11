"""Find the objects of an archive that list digests or sign others, by their usual names.

Pure functions over names and texts; `staging_api.staging.witnesses` reads the objects.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from posixpath import basename, dirname

from staging_api.sources.lists import sums_in, text_of

#: Digests that are computed here; lists of other digests are ignored.
_ALGORITHMS = ("sha256", "sha512", "md5")
#: No two contents with one digest are known; only these can be required (MD5 cannot).
STRONG_ALGORITHMS = ("sha256", "sha512")
_OF_ONE = (".sha256", ".sha256sum", ".sha512", ".sha512sum", ".md5", ".md5sum")
_OF_FOLDER = (
    *("SHA256SUMS", "SHA256SUMS.txt", "sha256sum.txt", "sha256sums.txt", "checksums.txt"),
    *("CHECKSUM", "CHECKSUMS", "SHA512SUMS", "MD5SUMS", "MD5SUMS.txt", "md5sum.txt"),
)
#: Lists whose name contains that of a release, ``tool_1.2_checksums.txt``, also with a signature
#: inside.
_NAMED_LIST = re.compile(
    r"(?:.*[-_.])?(?:sha(?:256|512)(?:sums?)?|checksums?)(?:\.txt)?(?:\.(?:asc|gpg))?",
    re.IGNORECASE,
)
_SIGNATURES = (
    *(".asc", ".sig", ".sign", ".gpg", ".minisig"),
    *(".sigstore.json", ".sigstore", ".cosign.bundle", ".bundle"),
)
#: Requested where no list of the archive is known: few, as each name costs a request.
_PROBED_OF_ONE, _PROBED_OF_FOLDER = _OF_ONE[:1], ("SHA256SUMS", "MD5SUMS")
#: Lists that contain their signature, as on kernel.org.
_SIGNED_WITHIN = ("SHA256SUMS.asc", "sha256sums.asc")
#: Each costs a request to the source.
_MOST_NAMED_LISTS = 20
# A file that holds one digest and no name. The number of hex digits determines the algorithm.
_BARE = re.compile(r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{128}")
#: Names of a content that came by a pipe: of a bare digest, of sha256sum and of openssl.
_NAMELESS = ("", "-", "stdin")
_BARE_ALGORITHM = {32: "md5", 64: "sha256", 128: "sha512"}


@dataclass(frozen=True)
class Checksums:
    """Digests by object name, and the witness that states them."""

    digests: Mapping[str, tuple[str, str]]
    witness: str


def is_list(name: str) -> bool:
    """Return whether an object of this name lists digests, so that lists omit it."""
    return name.endswith(_OF_ONE) or basename(name) in _OF_FOLDER


def lists_of_folder(name: str, listed: Collection[str] | None) -> list[str]:
    """Return the names of lists that may contain an object: in its folder, and at the top.

    Args:
        name: name of the object.
        listed: all names of the archive; None if unknown: then only few names are returned.
    """
    if listed is None:
        return [f"{folder}{each}" for folder in _folders(name) for each in _PROBED_OF_FOLDER]
    found = [f"{folder}{each}" for folder in _folders(name) for each in _OF_FOLDER]
    return [each for each in found if each in listed]


def lists_of_one(name: str, listed: Collection[str] | None) -> list[str]:
    """Return the names of files that have the digest of one object only."""
    if listed is None:
        return [name + end for end in _PROBED_OF_ONE]
    return [name + end for end in _OF_ONE if name + end in listed]


def strongest_first(names: list[str]) -> list[str]:
    """Return names of lists in their order, those of MD5 last."""
    return sorted(names, key=lambda name: "md5" in basename(name).lower())


def lists_to_require(name: str, listed: Collection[str] | None) -> Iterator[str]:
    """Yield the names of all lists that may vouch for an object, the usual ones first.

    Lists with the usual names are yielded even if the archive's list lacks them: that list may be
    older.
    """
    usual = [*lists_of_one(name, listed), *lists_of_folder(name, listed)]
    signed = [f"{folder}{each}" for folder in _folders(name) for each in _SIGNED_WITHIN]
    asked = [*usual, *lists_of_folder(name, None), *signed, *lists_of_one(name, None)]
    yield from dict.fromkeys(asked)
    folders, others = _folders(name), set(listed or ()).difference(asked, [name])
    named = (
        other
        for other in sorted(others)
        if _folder(other) in folders and _NAMED_LIST.fullmatch(basename(other))
    )
    yield from islice(named, _MOST_NAMED_LISTS)


def signatures_of(name: str, listed: Collection[str] | None) -> list[str]:
    """Return the names that detached signatures of an object may have.

    Only names in the archive's list. If it has none of them, it may be older than the signatures:
    then all names are returned.
    """
    names = [name + end for end in _SIGNATURES]
    return [each for each in names if each in (listed or ())] or names


def sums_of(raw: bytes, called: str, witness: str) -> Checksums:
    """Parse a file of digests.

    Raises:
        ArchiveCorrupt: it is no text.
    """
    text = text_of(raw, called)
    bare = text.strip()
    if _BARE.fullmatch(bare):
        return Checksums({"": (_BARE_ALGORITHM[len(bare)], bare.lower())}, witness)
    return Checksums(sums_in(text), witness)


def digest_of(
    sums: Checksums, name: str, called: str, *, strict: bool = False
) -> tuple[str, str] | None:
    """Return the digest of an object in the file `called`, whose names are relative to its folder.

    None is also returned for a digest that is not computed here; see `only_by`.

    Args:
        sums: the content of that file.
        name: name of the object.
        called: name of the file. If it starts with the object's name, it may have the digest
            without a name, or with the path that the object had where it was made.
        strict: whether a path must end in the object's own name: otherwise a signed digest of one
            object, in a renamed file, would pass for that of another.
    """
    found = _listed(sums, name, called, strict=strict)
    return found if found and found[0] in _ALGORITHMS else None


def only_by(sums: Checksums, name: str, called: str) -> str | None:
    """Return the algorithm of the only digest of an object, if it is not computed here."""
    found = _listed(sums, name, called, strict=True)
    return found[0] if found and found[0] not in _ALGORITHMS else None


def _listed(sums: Checksums, name: str, called: str, *, strict: bool) -> tuple[str, str] | None:
    keys = [name.removeprefix(_folder(called)), name]
    if called.startswith(name) and len(sums.digests) == 1:
        allowed = (*_NAMELESS, basename(name))
        keys += [key for key in sums.digests if not strict or basename(key) in allowed]
    return next((sums.digests[key] for key in keys if key in sums.digests), None)


def _folders(name: str) -> list[str]:
    return list(dict.fromkeys((_folder(name), "")))


def _folder(name: str) -> str:
    return f"{dirname(name)}/" if dirname(name) else ""

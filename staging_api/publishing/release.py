"""The Release file of a suite: its name, its date, and size and SHA-256 of each index file.

SHA256 is the only list: apt fetches ``by-hash`` under the strongest hash in a Release, and files
are kept only under that one. The uncompressed name of an index is listed even if it cannot be
fetched, because apt refuses an index whose uncompressed hash it does not know.
"""

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from staging_api.publishing import rules


@dataclass(frozen=True)
class ReleaseFile:
    """An index file: its path below the suite, its size and its SHA-256 in hex."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Release:
    """Fields of a Release file.

    Attributes:
        suite: the name used in sources.list, such as ``stable-security``.
        codename: the name that stays with this series.
        date: creation time; timezone-aware.
        architectures: architectures of its Packages files.
        components: components of its index files.
        files: its index files, including uncompressed names.
        origin: name of the publisher; apt pins can match it.
        label: name of the archive; apt pins can match it.
        description: one line for people.
        valid_for: validity for clients; None: unlimited.
        acquire_by_hash: whether clients are to fetch by hash; only this makes an update during a
            publication safe.
        not_automatic: apt installs packages from this suite only on request.
        but_automatic_upgrades: with `not_automatic`, packages installed from this suite are
            upgraded.
    """

    suite: str
    codename: str
    date: datetime
    architectures: Sequence[str]
    components: Sequence[str]
    files: Sequence[ReleaseFile]
    origin: str = ""
    label: str = ""
    description: str = ""
    valid_for: timedelta | None = None
    acquire_by_hash: bool = True
    not_automatic: bool = False
    but_automatic_upgrades: bool = False


def release_text(release: Release) -> bytes:
    """Return the Release file; equal input gives equal bytes.

    Raises:
        Invalid: a value is not allowed in a line by `rules`.
    """
    lines = [f"{name}: {rules.line(name, value)}\n" for name, value in _fields(release) if value]
    files = sorted(release.files, key=lambda file: file.path)
    lines += ["SHA256:\n", *(f" {file.sha256} {file.size_bytes} {file.path}\n" for file in files)]
    return "".join(lines).encode()


def without_expiry(release: bytes) -> bytes:
    """Return a Release without its Valid-Until, so that it never expires."""
    fields, colon, files = release.partition(b"\nSHA256:")
    kept = [line for line in fields.split(b"\n") if not line.startswith(b"Valid-Until:")]
    return b"\n".join(kept) + colon + files


def by_hash_path(path: str, sha256: str) -> str:
    """Return the by-hash path of an index file, valid for as long as its bytes are kept."""
    return posixpath.join(posixpath.dirname(path), "by-hash", "SHA256", sha256)


def _fields(release: Release) -> Iterable[tuple[str, str]]:
    expiry = release.date + release.valid_for if release.valid_for else None
    return (
        ("Origin", release.origin),
        ("Label", release.label),
        ("Suite", release.suite),
        ("Codename", release.codename),
        ("Date", _rfc_date(release.date)),
        ("Valid-Until", _rfc_date(expiry) if expiry else ""),
        ("NotAutomatic", "yes" if release.not_automatic else ""),
        ("ButAutomaticUpgrades", "yes" if release.but_automatic_upgrades else ""),
        ("Acquire-By-Hash", "yes" if release.acquire_by_hash else ""),
        ("Architectures", " ".join(sorted(release.architectures))),
        ("Components", " ".join(release.components)),
        ("Description", release.description),
    )


def _rfc_date(moment: datetime) -> str:
    # apt expects UTC under this name; with other names clients have refused a repository.
    return format_datetime(moment.astimezone(UTC), usegmt=True).replace("GMT", "UTC")

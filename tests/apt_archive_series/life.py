"""An archive that lives through a series of events: what it is made of, and what is seen of it."""

import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from staging_api.publishing.model import Generation
from staging_api.publishing.rows import apt_archives, generations
from staging_api.publishing.signing import SignedRelease, SigningKey, UnsignedRelease
from tests.apt_archive_series.promises import listed_in
from tests.publisher import Shop, find
from tests.rows import select

#: Components and architectures of each suite, at first; not all that it may get, for each index
#: file that is made costs time.
PARTS = {
    "stable": (("main", "contrib"), ("amd64", "arm64")),
    "stable-security": (("main",), ("amd64",)),
    "testing": (("contrib",), ("arm64",)),
}
SUITES = tuple(PARTS)
COMPONENTS = ("main", "contrib")
ARCHITECTURES = ("amd64", "arm64")

Files = Mapping[str, str]
Sent = Mapping[str, bytes]


def fake_signature(
    release: bytes, key: SigningKey | None, _at: datetime
) -> SignedRelease | UnsignedRelease:
    """What gpg would do, without the time that it takes."""
    if key is None:
        return UnsignedRelease("no signing key is configured")
    name = key.fingerprint.encode()
    return SignedRelease(b"signed by %s\n%s" % (name, release), b"signature of %s" % name)


def keys_in(folder: Path) -> list[SigningKey | None]:
    """No key, and two keys that `fake_signature` signs with."""
    folder.mkdir(exist_ok=True)
    return [None, *(SigningKey(folder, name, program="true") for name in ("AAAA", "BBBB"))]


@dataclass
class Life:
    """One archive, with what we remember of it.

    Attributes:
        held: by suite, the index files that it has to show until it is lifted.
        sent: what was sent so far, to be sent again.
        paths: by path of the pool, the digest that it had when it was first seen.
        contents: index files that were read since time passed, by archive, folder and digest;
            one for both archives, for time passes for both.
        pinned: generations that are to be kept.
        superseded: publications of which is known what they gave way to.
        plain: whether index files could ever be had as they are.
    """

    shop: Shop
    rng: random.Random
    keys: Sequence[SigningKey | None]
    contents: dict[tuple[str, str, str], bytes]
    held: dict[str, Files] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    paths: dict[str, str] = field(default_factory=dict)
    pinned: set[str] = field(default_factory=set)
    superseded: set[int] = field(default_factory=set)
    plain: bool = False
    suites: ClassVar = SUITES

    def generations(self) -> list[Generation]:
        with self.shop.database.connect() as conn:
            archive = apt_archives.find_apt_archive(conn, self.shop.name)
            found = generations.list_generations(conn, archive.id, limit=1000, after=None)
        return [each for each in found if each.state in ("live", "retired")]

    def release(self, suite: str, generation: str | None = None) -> str:
        """The Release of a suite; empty if there is none."""
        found = find(self.shop.database, f"dists/{suite}/Release", generation, self.shop.name)
        return "" if found is None else (found.content or b"").decode()

    def kept_releases(self) -> Mapping[tuple[str, str, str], str]:
        """By generation, suite and name, the Releases of all generations that are kept.

        In one statement; clients, who see the live one, are asked for by `release`.
        """
        found = select(
            self.shop.database,
            "SELECT g.id, s.name, r.name, r.content FROM apt_archives a"
            " JOIN dists_generations g ON g.archive_id = a.id AND g.state IN ('live', 'retired')"
            " JOIN suites s ON s.archive_id = a.id"
            " JOIN release_files r ON r.suite_id = s.id AND r.first_number <= g.number"
            " AND (r.gone_number IS NULL OR r.gone_number > g.number) WHERE a.name = :name",
            name=self.shop.name,
        )
        return {(each[0], each[1], each[2]): bytes(each[3]).decode() for each in found}

    def index_files(self, suite: str, generation: str | None = None) -> Files:
        """By path, the digest of each index file of a suite, in every form, as Release has it."""
        return listed_in(self.release(suite, generation))

    def content(self, suite: str, path: str, listed: str) -> bytes | None:
        """An index file as apt gets it, checked; None for a form that is listed only."""
        digest, _, size = listed.partition(" ")
        if not (self.plain or re.search(r"\.\w+$", path)):
            return None
        folder = path.rpartition("/")[0]
        key = (self.shop.name, f"{suite}/{folder}", digest)
        if key not in self.contents:
            place = f"dists/{suite}/{folder}/by-hash/SHA256/{digest}"
            found = find(self.shop.database, place, archive=self.shop.name)
            raw = None if found is None else self.shop.bytes_of(found)
            if raw is not None:
                assert (hashlib.sha256(raw).hexdigest(), len(raw)) == (digest, int(size)), place
            elif path.endswith(".gz"):
                raise AssertionError(f"{place} is named and not there")
            else:
                return None
            self.contents[key] = raw
        return self.contents[key]

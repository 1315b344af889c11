"""What ``/archive/<name>@<generation>`` serves: an older generation, for as long as it is kept.

Clients stop believing a Release when its Valid-Until has passed, or when its key is one that they
no longer know. The content of the generation stays the same. So where its Release has expired,
or another key signs since it was retired, clients get one that says the same but for Valid-Until,
signed by the present key: made at the first request, and kept, so that all pods send the same
bytes. One that a client may still believe is served as it was.

What if the process dies? Before the Release is kept, no client got it; the next request makes it.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from staging_api.db.engine import Database
from staging_api.publishing.index_model import ServedArchiveFile
from staging_api.publishing.release import without_expiry
from staging_api.publishing.releasing import Releaser
from staging_api.publishing.rows import apt_archives, serving
from staging_api.publishing.signing import SignedRelease

_RELEASE_NAMES = ("Release", "InRelease", "Release.gpg")
_BY_HASH = "/by-hash/SHA256/"


@dataclass(frozen=True)
class Snapshots:
    """Finds files of archives, live or of one generation."""

    database: Database
    releaser: Releaser

    def served_at(
        self, apt_archive: str, generation: str | None, path: str
    ) -> ServedArchiveFile | None:
        """The file at a path, as `served_at` finds it, for clients to believe.

        Raises:
            SigningFailed: a Release has to be signed anew, and gpg did not.
        """
        place, signer = _release_at(path), self.releaser.signer
        release = None
        with self.database.connect() as conn:
            if generation is not None and place is not None and signer is not None:
                release = serving.stale_release(conn, apt_archive, generation, place[0], signer)
            if release is None or place is None or signer is None:
                return served_at(conn, apt_archive, generation, path)
            now = apt_archives.find_apt_archive(conn, apt_archive).seen_at
        # With that connection kept, as many requests as the pool has would wait for each other.
        return self._lasting(release, place[1], signer, now)

    def _lasting(
        self, release: serving.StaleRelease, name: str, signer: str, now: datetime
    ) -> ServedArchiveFile | None:
        with self.database.connect() as conn:
            kept = serving.lasting_releases(conn, release.id, signer)
        if not kept:
            content = without_expiry(release.content)
            texts = {"Release": content}
            signed = self.releaser.sign(content, self.releaser.key, now)
            if isinstance(signed, SignedRelease):
                texts |= {"InRelease": signed.in_release, "Release.gpg": signed.release_gpg}
            with self.database.begin() as conn:
                serving.keep_lasting(conn, release.id, signer, texts)
                # Read back: another process may have kept its own first, and then all send that
                # one.
                kept = serving.lasting_releases(conn, release.id, signer)
        return kept.get(name)


def served_at(
    conn: Connection, apt_archive: str, generation: str | None, path: str
) -> ServedArchiveFile | None:
    """Return the file at a path, if there is one.

    Args:
        conn: any connection.
        apt_archive: the name of the archive.
        generation: the id of one to look at; None for the one that is live.
        path: below the archive's root: ``dists/<suite>/...`` or ``pool/...``.
    """
    if place := _release_at(path):
        return serving.release_at(conn, apt_archive, generation, *place)
    top, _, rest = path.partition("/")
    if top == "pool":
        return serving.pool_file_at(conn, apt_archive, path)
    suite, _, name = rest.partition("/")
    if top != "dists" or not name:
        return None
    if _BY_HASH in name:
        folder, _, sha256 = name.rpartition(_BY_HASH)
        return serving.by_hash(conn, apt_archive, suite, folder, sha256)
    return serving.index_at(conn, apt_archive, generation, suite, name)


def _release_at(path: str) -> tuple[str, str] | None:
    """Return suite and name of a Release or its signature; None for the path of another file."""
    folder, _, name = path.rpartition("/")
    top, _, suite = folder.partition("/")
    is_release = top == "dists" and suite and "/" not in suite and name in _RELEASE_NAMES
    return (suite, name) if is_release else None

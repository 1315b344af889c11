"""Snapshots: ``/archive/<name>@<generation>`` serves an older generation while it is kept.

Clients refuse a Release after its Valid-Until, or if they no longer trust its key, although the
content of the generation stays the same. Therefore, if the Release has expired, or the signing key
has changed since the generation was retired, clients get a replacement: the same text without
Valid-Until, signed by the current key. It is made at the first request, and stored, so that all
pods serve the same bytes. A Release that clients still trust is served unchanged.

What if the process dies? Before the replacement is stored, no client got it; the next request makes
it again.
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
    """Finds files of archives, either live or of one generation."""

    database: Database
    releaser: Releaser

    def served_at(
        self, apt_archive: str, generation: str | None, path: str
    ) -> ServedArchiveFile | None:
        """Return the file at a path like the function `served_at`, but with a trusted Release.

        Raises:
            SigningFailed: a Release has to be signed again, but gpg did not sign it.
        """
        place, signer = _release_at(path), self.releaser.signer
        release = None
        with self.database.connect() as conn:
            if generation is not None and place is not None and signer is not None:
                release = serving.stale_release(conn, apt_archive, generation, place[0], signer)
            if release is None or place is None or signer is None:
                return served_at(conn, apt_archive, generation, path)
            now = apt_archives.find_apt_archive(conn, apt_archive).seen_at
        # Outside of the connection above: if each request kept one while it waits for a second, the
        # pool could deadlock.
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
                # Read back: another process may have stored its own first, and then all serve that
                # one.
                kept = serving.lasting_releases(conn, release.id, signer)
        return kept.get(name)


def served_at(
    conn: Connection, apt_archive: str, generation: str | None, path: str
) -> ServedArchiveFile | None:
    """Return the file at a path, or None.

    Args:
        conn: any connection.
        apt_archive: name of the archive.
        generation: id of a generation; None: the live one.
        path: path below the archive's root: ``dists/<suite>/...`` or ``pool/...``.
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

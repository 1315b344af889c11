"""What ``/archive/<name>@<generation>`` serves: an older generation, for as long as it is kept.

Clients stop believing a Release when its Valid-Until has passed, or when its key is one that they
no longer know. What a generation shows does not change by that. So where its Release has expired,
or another key signs since it was retired, clients get one that says the same but for Valid-Until,
signed by the present key: made at the first request, and kept, so that all pods send the same
bytes. One that a client may still believe is served as it was.

What if the process dies? Before the Release is kept, no client got it; the next request makes it.
"""

from dataclasses import dataclass

from staging_api.db.engine import Database
from staging_api.publishing import rows
from staging_api.publishing.index_model import ServedArchiveFile
from staging_api.publishing.release import without_expiry
from staging_api.publishing.releasing import Releaser
from staging_api.publishing.serving import release_path, served_at
from staging_api.publishing.signing import SignedRelease


@dataclass(frozen=True)
class Snapshots:
    """Finds files of archives, live or of one generation."""

    database: Database
    releaser: Releaser

    def served_at(
        self, apt_archive: str, generation: str | None, path: str
    ) -> ServedArchiveFile | None:
        """The file at a path, as `serving.served_at` finds it, for clients to believe.

        Raises:
            SigningFailed: a Release has to be signed anew, and gpg did not.
        """
        place, signer = release_path(path), self.releaser.signer
        with self.database.connect() as conn:
            if generation is not None and place is not None and signer is not None:
                suite, name = place
                release = rows.stale_release(conn, apt_archive, generation, suite, signer)
                if release is not None:
                    return self._lasting(release, name, signer)
            return served_at(conn, apt_archive, generation, path)

    def _lasting(
        self, release: rows.StaleRelease, name: str, signer: str
    ) -> ServedArchiveFile | None:
        with self.database.connect() as conn:
            kept = rows.lasting_releases(conn, release.id, signer)
        if not kept:
            content = without_expiry(release.content)
            texts, signed = {"Release": content}, self.releaser.sign(content, self.releaser.key)
            if isinstance(signed, SignedRelease):
                texts |= {"InRelease": signed.in_release, "Release.gpg": signed.release_gpg}
            with self.database.begin() as conn:
                rows.keep_lasting(conn, release.id, signer, texts)
                kept = rows.lasting_releases(conn, release.id, signer)
        return kept.get(name)

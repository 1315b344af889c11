"""The Release of a suite: written again only if it would say something else, and signed if it can.

A Release that would differ from the one before in nothing but its date is not written: so nothing
is published when nothing changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from staging_api.publishing.model import AptArchive, IndexFile, ReleaseText, Suite
from staging_api.publishing.release import Release, ReleaseFile, release_text
from staging_api.publishing.repository import release_row
from staging_api.publishing.runlog import RunLog
from staging_api.publishing.signing import Signed, SigningKey, sign


@dataclass(frozen=True)
class Releaser:
    """Writes Releases; `key` is None where none is configured."""

    key: SigningKey | None

    def suite(
        self,
        run: RunLog | None,
        archive: AptArchive,
        suite: Suite,
        files: Sequence[IndexFile],
        *,
        old: Sequence[ReleaseText],
        always: bool,
    ) -> list[ReleaseText] | None:
        """What is to be said of a suite; None if the old texts say it.

        Args:
            run: told why there is no signature, if there is none.
            archive: that the suite is of; when it was read is the date.
            suite: the suite.
            files: its index files.
            old: what is said of it now.
            always: write it even if it differs in its date only.

        Raises:
            SigningFailed: there is a key, and gpg did not sign with it.
        """
        now = archive.seen_at
        before = next((text for text in old if text.name == "Release"), None)
        # Clients refuse a Release older than the one they have.
        date = max(now, before.dated_at) if before else now
        wanted = _release(archive, suite, files, date.replace(microsecond=0))
        if before and not always and not _expires(archive, before, now):
            same = _release(archive, suite, files, before.dated_at)
            if release_text(same) == before.content:
                return None
        return self._signed(run, suite, wanted)

    def _signed(self, run: RunLog | None, suite: Suite, release: Release) -> list[ReleaseText]:
        content = release_text(release)
        texts = {"Release": content}
        signed = sign(content, self.key)
        if isinstance(signed, Signed):
            texts |= {"InRelease": signed.in_release, "Release.gpg": signed.release_gpg}
        elif run is not None:
            run.note(f"published without a signature: {signed.reason}")
        until = release.date + release.valid_for if release.valid_for else None
        return [
            release_row(suite.id, name, text, release.date, until) for name, text in texts.items()
        ]


def _expires(archive: AptArchive, before: ReleaseText, now: datetime) -> bool:
    """Whether more than half of its time is over."""
    if archive.valid_for_seconds is None or before.valid_until is None:
        return False
    return before.valid_until - now < timedelta(seconds=archive.valid_for_seconds / 2)


def _release(
    archive: AptArchive, suite: Suite, files: Sequence[IndexFile], date: datetime
) -> Release:
    seconds = archive.valid_for_seconds
    return Release(
        suite=suite.name,
        codename=suite.codename,
        date=date,
        architectures=suite.architectures,
        components=suite.components,
        files=[ReleaseFile(f.file_path, f.size_bytes, f.sha256) for f in files],
        origin=archive.origin,
        label=archive.label,
        description=suite.description,
        valid_for=timedelta(seconds=seconds) if seconds else None,
        acquire_by_hash=archive.advertise_by_hash,
        not_automatic=suite.not_automatic,
        but_automatic_upgrades=suite.but_automatic_upgrades,
    )

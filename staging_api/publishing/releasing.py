"""The Release of a suite: written again only if its content changes, and signed if possible.

The content depends on the index files, the descriptions of archive and suite, the validity, and the
signer. A change of any of these makes a new Release, independently of the packages. A Release that
would differ only in its date is not written, so nothing is published when nothing changed.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from staging_api.publishing.index_model import IndexFile, ReleaseText
from staging_api.publishing.indices import INSTALLER_FOLDER
from staging_api.publishing.model import AptArchive, Suite
from staging_api.publishing.release import Release, ReleaseFile, release_text
from staging_api.publishing.runlog import RunLog
from staging_api.publishing.signing import (
    SignedRelease,
    SigningKey,
    UnsignedRelease,
    check_expiry,
    sign,
    signer_of,
)

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Releaser:
    """Writes Releases.

    Attributes:
        key: the signing key; None if none is configured.
        sign: function that signs with the key; replaced in tests that need many signatures.
    """

    key: SigningKey | None
    sign: Callable[[bytes, SigningKey | None, datetime], SignedRelease | UnsignedRelease] = sign

    @property
    def signer(self) -> str | None:
        """The fingerprint to sign Releases with; None if this process cannot sign.

        Empty if no key is configured. A process without gpg, or without the key's directory, leaves
        Releases that other processes signed unchanged.
        """
        return signer_of(self.key)

    def check_key(self, now: datetime) -> None:
        """Check that the signing key, if there is one here, has not expired.

        Raises:
            SigningFailed: it has, so clients refuse all Releases that it signed.
        """
        if self.key is not None:
            check_expiry(self.key, now)

    def suite(
        self,
        run: RunLog,
        apt_archive: AptArchive,
        suite: Suite,
        files: Sequence[IndexFile],
        *,
        old: Sequence[ReleaseText],
        always: bool,
    ) -> list[ReleaseText] | None:
        """Return the new texts of a suite's Release; None if the old ones are still valid.

        Args:
            run: the run; a note gives the reason if the Release is not signed.
            apt_archive: the archive of the suite; the time when it was read becomes the date.
            suite: the suite.
            files: index files of the suite.
            old: the current texts.
            always: write a Release even if only its date differs.

        Raises:
            SigningFailed: there is a key, but gpg did not sign with it.
        """
        now = apt_archive.seen_at
        before = next((text for text in old if text.name == "Release"), None)
        # Clients refuse a Release older than the one they have.
        date = max(now, before.dated_at) if before else now
        if before and not always and not expires(apt_archive, before, now):
            same = _release(apt_archive, suite, files, before.dated_at)
            if release_text(same) == before.content and self._is_signer(before):
                return None
        wanted = _release(apt_archive, suite, files, date.replace(microsecond=0))
        modified = now.replace(microsecond=0)
        if before and before.modified_at:
            # Last-Modified has whole seconds: without this, the second of two Releases within one
            # second would look unchanged.
            modified = max(modified, before.modified_at + _SECOND)
        return self._signed(run, suite, wanted, modified, now)

    def _is_signer(self, before: ReleaseText) -> bool:
        return self.signer is None or before.signed_by == self.signer

    def _signed(
        self, run: RunLog, suite: Suite, release: Release, modified: datetime, now: datetime
    ) -> list[ReleaseText]:
        content = release_text(release)
        texts, signed_by = {"Release": content}, ""
        signed = self.sign(content, self.key, now)
        if isinstance(signed, SignedRelease):
            texts |= {"InRelease": signed.in_release, "Release.gpg": signed.release_gpg}
            signed_by = self.key.fingerprint if self.key else ""
        else:
            run.note(f"published without a signature: {signed.reason}")
        return [
            ReleaseText(
                suite_id=suite.id,
                name=name,
                content=text,
                dated_at=release.date,
                valid_until=release.date + release.valid_for if release.valid_for else None,
                sha256=hashlib.sha256(text).hexdigest(),
                signed_by=signed_by,
                modified_at=modified,
            )
            for name, text in texts.items()
        ]


def expires(apt_archive: AptArchive, before: ReleaseText, now: datetime) -> bool:
    """Return whether more than half of a Release's validity is over."""
    if apt_archive.valid_for_seconds is None or before.valid_until is None:
        return False
    return before.valid_until - now < timedelta(seconds=apt_archive.valid_for_seconds / 2)


def _release(
    apt_archive: AptArchive, suite: Suite, files: Sequence[IndexFile], date: datetime
) -> Release:
    seconds = apt_archive.valid_for_seconds
    components, architectures = _listed(files)
    return Release(
        suite=suite.name,
        codename=suite.codename,
        date=date,
        architectures=sorted(architectures),
        components=[
            *(name for name in suite.components if name in components),
            *sorted(components.difference(suite.components)),
        ],
        files=[ReleaseFile(f.file_path, f.size_bytes, f.sha256) for f in files],
        origin=apt_archive.origin,
        label=apt_archive.label,
        description=suite.description,
        valid_for=timedelta(seconds=seconds) if seconds else None,
        acquire_by_hash=apt_archive.advertise_by_hash,
        not_automatic=suite.not_automatic,
        but_automatic_upgrades=suite.but_automatic_upgrades,
    )


def _listed(files: Iterable[IndexFile]) -> tuple[set[str], set[str]]:
    """Return the components and architectures of index files.

    These may differ from the suite's settings if the suite shows older packages.
    """
    folders = [file.path.rsplit("/", 2)[:2] for file in files]
    names = {of_suite.removesuffix(f"/{INSTALLER_FOLDER}") for of_suite, _ in folders}
    last = {folder for _, folder in folders}
    return names, {f.removeprefix("binary-") for f in last if f.startswith("binary-")}

"""What one archive has: the names of the last look at a list of it, and what was found by name.

A look reads the manifest, which the uploader writes last, or else a listing. Each version of a
manifest is read once and kept in ``manifests``, so that later looks only compare versions. What a
catalogue or a request names without a glob is asked for by that name first, and needs neither.
"""

from collections.abc import Sequence

from staging_api.catalogue.model import ArtifactKind
from staging_api.db.engine import Database
from staging_api.errors import ArchiveNotFound, NotFound
from staging_api.sources.manifest import Manifest, find_manifest, read_manifest
from staging_api.sources.model import Names, Source, SourceOptions
from staging_api.staging.model import StagingRequest
from staging_api.staging.presence import Presence
from staging_api.staging.repository import reading, upload_rows


class ArchiveNames:
    """The objects of one archive, as far as a request needs to know them."""

    def __init__(
        self,
        database: Database,
        source: Source,
        request: StagingRequest,
        options: SourceOptions,
        *,
        waits: bool,
    ) -> None:
        """Make no request yet.

        Args:
            options: what a manifest is called, and how long it may be.
            waits: whether an archive of which nothing is there is waited for, if the request says
                so; else it is not found.
        """
        self._database = database
        self._source = source
        self._request = request
        self._options = options
        self._waits = waits and bool(request.upload_wait_seconds)
        self._names: Names | None = None
        self._absent: str | None = None
        self._presence = Presence(source, request.url.build)

    @property
    def names(self) -> Names:
        """The objects that were there at the last look.

        Raises:
            ArchiveNotFound: nothing is there, and the request did not say that something will be.
        """
        if self._absent is not None:
            # One look is the answer for each artifact of an archive that is not there.
            raise ArchiveNotFound(self._absent)
        if self._names is None:
            try:
                self._names = self._look()
            except ArchiveNotFound as error:
                self._absent = error.detail
                raise
        return self._names

    @property
    def listed(self) -> Names | None:
        """The names of the last look at a list; None if no list was needed, or there is none."""
        return self._names

    @property
    def archive_is_absent(self) -> bool:
        """Whether a look found nothing at all."""
        return self._absent is not None

    def names_for(self, kind: ArtifactKind) -> Sequence[str]:
        """The objects to choose from for one artifact; without a glob it needs no list of all.

        Raises:
            ArchiveNotFound: nothing is there.
            SourceRefused: the source says neither what there is, nor that it is not.
        """
        name = self._presence.find(kind, self._names or ())
        if name is not None:
            return [name]
        try:
            return self.names
        except ArchiveNotFound:
            if (refusal := self._presence.refusal(kind)) is not None:
                raise refusal from None
            # What has no glob was looked for by name, so it is absent, if the archive is not. What
            # needs a list was not looked for at all.
            if not kind.has_names(self._request.url.build) or not self._is_known:
                raise
            return sorted(self._presence.seen)

    def find(self, kind: ArtifactKind) -> list[str]:
        """The objects of one artifact that are there; raises what `names_for` does.

        Raises:
            ArtifactAmbiguous: several fit, and one is wanted.
        """
        return kind.find(self.names_for(kind), self._request.url.build)

    def look_again(self) -> Names:
        """Look at the list now, whatever was seen before."""
        self._names = self._look()
        return self._names

    def take(self, names: Names) -> None:
        """Take over the names that another look found."""
        self._names = names

    def forget_absent(self) -> None:
        """Request again the objects that were absent when they were requested by name."""
        self._presence.forget_absent()

    def has_manifest(self) -> bool:
        """Whether the uploader has written the manifest."""
        try:
            return find_manifest(self._source, self._options) is not None
        except NotFound:
            return False

    @property
    def _is_known(self) -> bool:
        """Whether something of the archive was found or staged: then there is such an archive."""
        if self._presence.seen:
            return True
        names = self._request.names
        with self._database.connect() as conn:
            rows = reading.artifacts_of(conn, self._request.archive_url, names)
        return any(row.state == "staged" for row in rows)

    def _look(self) -> Names:
        if (single := self._single_objects()) is not None:
            return Names(single)
        try:
            manifest = self._manifest()
            return self._source.names() if manifest is None else manifest.names
        except ArchiveNotFound:
            if self._waits:
                return Names()
            raise

    def _single_objects(self) -> list[str] | None:
        """The objects that a request names one by one, if each is there; else None.

        A request that would not wait for them need not have a large archive listed.
        """
        patterns = [choice.pattern for kind in self._request.kinds for choice in kind.choices]
        if self._request.upload_wait_seconds != 0 or not all(each.literal for each in patterns):
            return None
        found = [each.glob for each in patterns if self._is_there(each.glob)]
        # At a bucket's root the list of all objects would be that of all archives.
        whole = len(found) == len(patterns) or not self._request.url.segments
        return found if whole else None

    def _is_there(self, name: str) -> bool:
        try:
            self._source.stat(name)
        except NotFound:
            return False
        return True

    def _manifest(self) -> Manifest | None:
        """The manifest, if there is one; of its versions each is read once, for all stagings."""
        archive_url = self._request.archive_url
        with self._database.connect() as conn:
            kept = upload_rows.kept_manifest(conn, archive_url)
        manifest = read_manifest(self._source, self._options, kept)
        if manifest is not None and manifest.version is not None and manifest is not kept:
            with self._database.connect() as conn:
                upload_rows.keep_manifest(conn, archive_url, manifest)
        return manifest

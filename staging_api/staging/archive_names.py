"""The object names of one archive: those of its list, and those that were requested by name.

The list is the manifest, which the uploader writes last, or else a listing. Each version of a
manifest is read once and kept in ``manifests``, so that later looks only compare versions. An
object that a catalogue or a request names without a glob is first requested by that name, which
needs neither.
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
        """Send no request yet.

        Args:
            options: names and limits of a manifest.
            waits: whether to wait for an archive without any object, if the request allows a wait;
                otherwise the archive is not found.
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
        """The objects of the archive's list when it was last read.

        Raises:
            ArchiveNotFound: the archive has no object, and the request does not wait for an upload.
        """
        if self._absent is not None:
            # If the archive is absent, one look at its list is enough for all artifacts.
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
        """The object names of the last read list; None if no list was needed, or there is none."""
        return self._names

    @property
    def archive_is_absent(self) -> bool:
        """Whether a look at the list found that the archive does not exist."""
        return self._absent is not None

    def names_for(self, kind: ArtifactKind) -> Sequence[str]:
        """Return the objects to choose from for one artifact; without a glob, no list is read.

        Raises:
            ArchiveNotFound: the archive has no object.
            SourceRefused: the source neither lists its objects, nor says that this one is absent.
        """
        name = self._presence.find(kind, self._names or ())
        if name is not None:
            return [name]
        try:
            return self.names
        except ArchiveNotFound:
            if (refusal := self._presence.refusal(kind)) is not None:
                raise refusal from None
            # An artifact without a glob was looked for by name, so it is absent if the archive
            # exists. An artifact that needs a list was not looked for at all.
            if not kind.has_names(self._request.url.build) or not self._is_known:
                raise
            return sorted(self._presence.seen)

    def find(self, kind: ArtifactKind) -> list[str]:
        """Return the objects of one artifact; raises the errors of `names_for`, too.

        Raises:
            ArtifactAmbiguous: several objects fit an artifact that takes one.
        """
        return kind.find(self.names_for(kind), self._request.url.build)

    def look_again(self) -> Names:
        """Read the list again now, whatever was found before."""
        self._names = self._look()
        return self._names

    def take(self, names: Names) -> None:
        """Use the names that another look found."""
        self._names = names

    def forget_absent(self) -> None:
        """Request again the objects that were absent when they were requested by name."""
        self._presence.forget_absent()

    def has_manifest(self) -> bool:
        """Return whether the uploader has written the manifest."""
        try:
            return find_manifest(self._source, self._options) is not None
        except NotFound:
            return False

    @property
    def _is_known(self) -> bool:
        """Whether any object was found or staged, so that the archive exists."""
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
        """Return the objects that a request names without a glob, if all exist; else None.

        Only for a request that does not wait for an upload: then a large archive need not be
        listed.
        """
        patterns = [choice.pattern for kind in self._request.kinds for choice in kind.choices]
        if self._request.upload_wait_seconds != 0 or not all(each.literal for each in patterns):
            return None
        found = [each.glob for each in patterns if self._is_there(each.glob)]
        # At a bucket's root, a list of all objects would be that of all archives.
        whole = len(found) == len(patterns) or not self._request.url.segments
        return found if whole else None

    def _is_there(self, name: str) -> bool:
        try:
            self._source.stat(name)
        except NotFound:
            return False
        return True

    def _manifest(self) -> Manifest | None:
        """Return the manifest, if there is one; each version is read once, for all stagings."""
        archive_url = self._request.archive_url
        with self._database.connect() as conn:
            kept = upload_rows.kept_manifest(conn, archive_url)
        manifest = read_manifest(self._source, self._options, kept)
        if manifest is not None and manifest.version is not None and manifest is not kept:
            with self._database.connect() as conn:
                upload_rows.keep_manifest(conn, archive_url, manifest)
        return manifest

"""Look for objects by their names, so that a name without a glob needs no list of the archive."""

from collections.abc import Container

from staging_api.catalogue.model import ArtifactKind
from staging_api.errors import ArchiveNotFound, NotFound, SourceRefused
from staging_api.sources.model import Source
from staging_api.sources.url import is_safe_name


class Presence:
    """The objects of one archive that were requested by name, with the results.

    Attributes:
        seen: the names of objects that exist.
    """

    def __init__(self, source: Source, build: str) -> None:
        self._source = source
        self._build = build
        self._absent: set[str] = set()
        self._archive_is_absent = False
        self._refusals: dict[str, SourceRefused] = {}
        self.seen: set[str] = set()

    def find(self, kind: ArtifactKind, listed: Container[str] = ()) -> str | None:
        """Return the object of an artifact, if one of its first choices, without globs, exists.

        Args:
            listed: names that are known to exist.

        Raises:
            SourceFailed: the source did not answer.
        """
        for choice in kind.choices:
            name = choice.object_name(self._build)
            # A source opens any given name, also one that leads out of the archive.
            if name is None or not is_safe_name(name):
                return None
            if name in listed or name in self.seen or self._is_there(name):
                return name
        return None

    def refusal(self, kind: ArtifactKind) -> SourceRefused | None:
        """Return the error of a source that did not say whether an artifact's object exists."""
        names = (choice.object_name(self._build) for choice in kind.choices)
        return next((self._refusals[name] for name in names if name in self._refusals), None)

    def forget_absent(self) -> None:
        """Forget which objects were absent: they may have been uploaded."""
        self._absent.clear()
        self._archive_is_absent = False

    def _is_there(self, name: str) -> bool:
        if name in self._absent or self._archive_is_absent:
            return False
        try:
            self._source.stat(name)
        except NotFound as error:
            # The archive itself does not exist: no other name is requested from it.
            self._archive_is_absent = isinstance(error, ArchiveNotFound)
        except SourceRefused as error:
            # Perhaps the object is absent: S3 answers 403 for that to callers that may not list.
            self._refusals[name] = error
        else:
            self.seen.add(name)
            return True
        self._absent.add(name)
        return False

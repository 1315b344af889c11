"""The use cases that name revisions: tags, and outcomes of site actions.

What if the process dies? Each change is one guarded transaction: it was made completely, or not at
all.
"""

from dataclasses import dataclass

from staging_api.db.engine import Database
from staging_api.documents.builds import DocumentBuilds
from staging_api.documents.changing import ChangeOrigin, changing
from staging_api.documents.reader import DocumentReader
from staging_api.documents.refusals import BufferConflict, RequestInvalid
from staging_api.documents.rows import commit_rows
from staging_api.documents.stored import RESERVED_TAGS, SITE_ACTION_TAGS, Revision
from staging_api.errors import NotFound
from staging_api.locks.hold import Locks

_MAX_TAG_LENGTH = 64


@dataclass(frozen=True)
class RevisionTags:
    """Tags of revisions, changed under the lock of documents."""

    database: Database
    locks: Locks
    reader: DocumentReader
    builds: DocumentBuilds

    def tag(self, number: int, tag: str, data: object, author: ChangeOrigin) -> Revision:
        """Tag a revision.

        Raises:
            NotFound: the revision does not exist.
            RequestInvalid: the tag is reserved for the service.
            LockHeld: another request changes documents.
        """
        _check_tag(tag)
        return self._tagged(number, tag, data, author)

    def untag(self, number: int, tag: str, author: ChangeOrigin) -> Revision:
        """Remove a tag from a revision.

        Raises:
            NotFound: the revision does not exist, or does not have the tag.
            RequestInvalid: the tag is reserved for the service.
            LockHeld: another request changes documents.
        """
        _check_tag(tag)
        self.reader.find(number)
        with changing(self.database, self.locks, author) as change, change.deciding() as (conn, _):
            if not commit_rows.remove_tag(conn, number, tag, author.origin.caller):
                raise NotFound(f"revision {number} has no tag {tag}")
        return self.reader.find(number)

    def site_action(
        self,
        number: int | None,
        data: object,
        author: ChangeOrigin,
        *,
        succeeded: bool,
        staged: bool,
    ) -> Revision:
        """Record the end of a site action on a committed revision.

        Args:
            number: the revision; None: the committed version.
            data: any data to store with the tag.
            author: the caller who reports the outcome.
            succeeded: whether the site action succeeded.
            staged: whether the builds named in the documents must be staged.

        Raises:
            NotFound: the revision does not exist.
            BufferConflict: the revision was not committed, or its builds are not staged.
            LockHeld: another request changes documents.
        """
        if number is None:
            number = self.reader.buffer().committed
        if number == 0 or self.reader.find(number).commit is None:
            raise BufferConflict("Not a committed revision", f"revision {number} is not committed")
        if staged:
            found = self.builds.look(self.reader.rendered(number).rendering)
            missing = [each.archive_url for each in found if not each.staged]
            if missing:
                raise BufferConflict("Builds are not staged", f"not staged: {', '.join(missing)}")
        return self._tagged(number, SITE_ACTION_TAGS[0 if succeeded else 1], data, author)

    def _tagged(self, number: int, tag: str, data: object, author: ChangeOrigin) -> Revision:
        self.reader.find(number)
        with changing(self.database, self.locks, author) as change, change.deciding() as (conn, _):
            commit_rows.set_tag(conn, number, tag, data, change.stamp)
        return self.reader.find(number)


def _check_tag(tag: str) -> None:
    if not 1 <= len(tag) <= _MAX_TAG_LENGTH:
        raise RequestInvalid("Invalid tag", f"a tag has 1 to {_MAX_TAG_LENGTH} characters")
    if tag in RESERVED_TAGS:
        raise RequestInvalid(
            "Reserved tag", f"{tag} is set by commits and site actions, not by hand"
        )

"""The files of staged artifacts: find by path, list by folder, hand out, follow."""

from dataclasses import dataclass
from functools import cached_property, partial

from staging_api.clients import Client
from staging_api.db.engine import Database
from staging_api.db.shared_reads import SharedReads
from staging_api.errors import LimitExceeded, NotFound
from staging_api.paging import Page, page_of
from staging_api.staging.accesses import Accesses
from staging_api.staging.model import FolderChild, ServedFile
from staging_api.staging.partial_files import FollowedFile, PartialFiles
from staging_api.staging.repository import folder_rows, reading

#: Limit of files below a folder: their rows are in memory until the last file is sent.
_MOST_FILES = 200_000


@dataclass(frozen=True)
class StagedFiles:
    """Staged files by path: a path has a file only as long as a staged artifact has it.

    Attributes:
        accesses: counts reads.
        growing: follows files that are still being staged.
    """

    database: Database
    accesses: Accesses
    growing: PartialFiles

    def find(self, path: str) -> ServedFile:
        """Return the file at a path.

        Raises:
            NotFound: nothing is staged there.
        """
        served = self._served.find(path)
        if served is None:
            raise NotFound(f"nothing is staged at {path}")
        return served

    def has(self, path: str) -> bool:
        """Return whether a file is staged at a path, or below a path that ends in ``/``."""
        if path.endswith("/"):
            with self.database.connect() as conn:
                return bool(folder_rows.served_below(conn, path, 1))
        return self._served.find(path) is not None

    def hand_out(self, file: ServedFile) -> None:
        """Protect a file from eviction before its bytes are sent.

        Raises:
            NotFound: its artifact has been evicted since it was found.
        """
        if file.hand_out_due and not self.accesses.hand_out(file.artifact_id):
            raise NotFound(f"the artifact at {file.path} has just been evicted")

    def follow(self, path: str, seconds: float, client: Client) -> FollowedFile | None:
        """Follow a file that is still being staged, once its first bytes have arrived.

        Args:
            seconds: how long to wait for the first bytes.

        Returns:
            None if the file is staged already, or if no staging brings it.

        Raises:
            Unavailable: too many requests wait, or nothing arrived in that time.
            ClientGone: the client closed its connection meanwhile.
        """
        if self._served.find(path) is not None:
            return None
        return self.growing.begin(path, seconds, client)

    def below(self, folder: str) -> list[ServedFile]:
        """Return all files below a folder that ends in ``/``, ordered by the bytes of their paths.

        Raises:
            NotFound: nothing is staged there.
            LimitExceeded: there are too many.
        """
        with self.database.connect() as conn:
            found = folder_rows.served_below(conn, folder, _MOST_FILES + 1)
        if not found:
            raise NotFound(f"nothing is staged in {folder}")
        if len(found) > _MOST_FILES:
            raise LimitExceeded(f"{folder} has more than {_MOST_FILES} files: take its folders")
        return found

    def children(self, folder: str, *, limit: int, after: str) -> Page[FolderChild]:
        """List the files and folders directly in a folder that ends in ``/``.

        Raises:
            NotFound: nothing is staged there.
        """
        with self.database.connect() as conn:
            page = page_of(
                lambda rows: folder_rows.children_of(conn, folder, after, rows),
                limit,
                lambda child: child.name,
            )
            # The rest may have been evicted since the page before.
            is_staged = page.items or (after and folder_rows.children_of(conn, folder, "", 1))
        if not is_staged:
            raise NotFound(f"nothing is staged in {folder}")
        return page

    @cached_property
    def _served(self) -> SharedReads[str, ServedFile | None]:
        return SharedReads(partial(reading.files_served, self.database))

"""The choice of container file members that go into packs.

While pods are replaced one by one, a version that cannot read packs may serve the same database. So
packs are written only to a database that no such version has ever served, which the database
records, or where the operator confirms that none runs any more.
"""

from dataclasses import dataclass
from typing import Literal

from staging_api.db.engine import Database
from staging_api.staging.repository import store_rows

#: When packs are written; ``auto``: as the database records.
Written = Literal["auto", "yes", "no"]
#: A longer member is a file of its own: the kernel sends it, and a bucket can link to it.
SMALL_BYTES = 64 << 10


@dataclass(frozen=True)
class Packs:
    """The settings for writing packs.

    Attributes:
        file_bytes: members of fewer bytes go into the pack of their artifact; at most 1 MiB, since
            ranges of packs are read into memory.
    """

    written: Written = "auto"
    file_bytes: int = SMALL_BYTES

    def below(self, database: Database) -> int:
        """Return the size in bytes below which a member goes into a pack; 0: none does."""
        if self.written == "auto":
            with database.connect() as conn:
                return self.file_bytes if store_rows.packs_are_written(conn) else 0
        return self.file_bytes if self.written == "yes" else 0

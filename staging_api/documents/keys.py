"""Source of the encryption keys for documents: a file of the operator, or else the database.

Keys in the database protect from roles that may read only the other tables, such as auditors; they
do not protect a copy of the whole database. With STAGING_DOCUMENTS_KEYS_FILE the database has no
keys.
"""

import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path

from staging_api.db.engine import Database
from staging_api.documents.rows import content_rows
from staging_api.documents.sealing import EQUALITY, KeyRing, new_key, read_keys
from staging_api.errors import Invalid
from staging_api.locks.model import new_id

log = logging.getLogger(__name__)


@dataclass
class Keys:
    """The keys of this service, read when they are first needed."""

    database: Database
    file: Path | None = None
    _ring: KeyRing | None = None
    _reading: threading.Lock = field(default_factory=threading.Lock)

    def ring(self) -> KeyRing:
        """Return the keys as last read.

        Raises:
            Invalid: the key file is wrong.
            Unavailable: the database cannot be reached.
        """
        with self._reading:
            if self._ring is None:
                self._ring = self._read()
            return self._ring

    def refresh(self) -> KeyRing:
        """Read the keys again, because another process has rotated them."""
        with self._reading:
            self._ring = self._read()
            return self._ring

    def sealing(self) -> KeyRing:
        """Return the current keys for sealing, or the last valid keys while the key file is wrong.

        The keys are read again because a value sealed with the old key after a rotation would be
        lost with that key.

        Raises:
            Invalid: the key file is wrong, and was never valid.
            Unavailable: the database cannot be reached.
        """
        try:
            return self.refresh()
        except Invalid as error:
            log.warning("documents are sealed with the keys that were read before: %s", error)
            return self.ring()

    def renew(self) -> KeyRing:
        """Add a key to the database; it seals from now on.

        Raises:
            Invalid: the keys are in a file, so a new key must be added there.
        """
        if self.file is not None:
            raise Invalid.field(
                "STAGING_DOCUMENTS_KEYS_FILE", "keeps the keys: put a new one above the others"
            )
        self.ring()
        with self.database.begin() as conn:
            content_rows.add_key(conn, new_id(), new_key())
        return self.refresh()

    def _read(self) -> KeyRing:
        if self.file is not None:
            return read_keys(self.file)
        with self.database.begin() as conn:
            found = content_rows.keys(conn)
            if EQUALITY not in found:
                # If several processes start at once, one creates the keys and the others read them.
                content_rows.add_key(conn, EQUALITY, new_key())
                content_rows.add_key(conn, "first", new_key())
        if EQUALITY not in found:
            with self.database.begin() as conn:
                found = content_rows.keys(conn)
        return KeyRing(found.pop(EQUALITY), found)

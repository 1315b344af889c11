"""SQL statements that record decisions about archives; `apt_archives.lift` records its own."""

import json
from typing import Any

from sqlalchemy import Connection, text

from staging_api.vocabulary.publishing import ArchiveDecision

_ADD = text("""
    INSERT INTO archive_decisions (archive_id, caller, decision, detail)
    VALUES (:archive_id, :caller, :decision, cast(:detail AS jsonb))
""")
_OF_UPLOAD = text("""
    INSERT INTO archive_decisions (archive_id, caller, decision, detail)
    SELECT s.archive_id, :caller, :decision, cast(:detail AS jsonb)
    FROM uploads u JOIN suites s ON s.id = u.suite_id WHERE u.id = :id
""")
_OF_GENERATION = text("""
    INSERT INTO archive_decisions (archive_id, caller, decision, detail)
    SELECT g.archive_id, :caller, :decision, cast(:detail AS jsonb)
    FROM dists_generations g WHERE g.id = :id
""")


def add_decision(
    conn: Connection, archive_id: int, caller: str, decision: ArchiveDecision, **detail: Any
) -> None:
    """Record a decision about an archive."""
    given = {"archive_id": archive_id, "caller": caller, "decision": decision}
    conn.execute(_ADD, {**given, "detail": json.dumps(detail)})


def add_upload_decision(
    conn: Connection, upload_id: str, caller: str, decision: ArchiveDecision, reason: str
) -> None:
    """Record a decision about an upload."""
    detail = json.dumps({"upload": upload_id, "reason": reason})
    given = {"id": upload_id, "caller": caller, "decision": decision, "detail": detail}
    conn.execute(_OF_UPLOAD, given)


def add_pin_decision(
    conn: Connection, generation_id: str, caller: str, decision: ArchiveDecision
) -> None:
    """Record that a caller pinned or unpinned a generation."""
    detail = json.dumps({"generation": generation_id})
    given = {"id": generation_id, "caller": caller, "decision": decision, "detail": detail}
    conn.execute(_OF_GENERATION, given)

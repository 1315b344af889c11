"""All tables with their constraints, which make impossible rows unstorable.

The comments are the documentation that auditors see in the database.
"""

from staging_api.db import archive_tables, dists_tables, document_tables, publication_tables
from staging_api.db.event_tables import staging_event_drops, staging_events
from staging_api.db.file_tables import loose_files, packed_files, packs
from staging_api.db.idempotency_tables import idempotency_keys
from staging_api.db.lock_tables import api_locks, lock_scopes, lock_waiters
from staging_api.db.report_tables import (
    service_processes,
    staging_counted,
    staging_minutes,
    store_largest,
    store_prunes,
    store_usage,
)
from staging_api.db.schema import Domain, metadata
from staging_api.db.session_tables import session_keys
from staging_api.db.staging_tables import archives, staged_artifacts, stagings
from staging_api.db.store_tables import (
    artifact_accesses,
    blobs,
    growing_files,
    held_objects,
    lost_contents,
    manifests,
    store_checks,
    store_identity,
    store_ledger,
    store_reservations,
    upload_polls,
    upload_reservations,
)

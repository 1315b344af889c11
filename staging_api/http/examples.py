"""Examples of bodies, by the name of their schema; a test validates each against its schema."""

from collections.abc import Mapping
from typing import Any

from staging_api.http.archive_examples import ARCHIVE_EXAMPLES
from staging_api.http.document_examples import DOCUMENT_EXAMPLES
from staging_api.http.example_values import (
    ARCHIVE,
    ARTIFACT,
    EARLY,
    FOLDER,
    GRANT,
    HOLDER,
    LATER,
    LOCK,
    MARKER,
    PRUNE,
    SHA256,
    STAGING,
    THEN,
    nulls,
    page,
)

_OF_STAGING = {
    "id": ARTIFACT,
    "name": "image",
    "phase": "foreground",
    "state": "staged",
    "path": f"{FOLDER}/disk.img",
    "url": f"/static/{FOLDER}/disk.img",
    "size_bytes": 12300000,
    "sha256": SHA256,
    "bytes_done": 12300000,
    "bytes_total": 12300000,
    "warnings": [],
    "error": None,
}
_FULL_ARTIFACT = {
    **_OF_STAGING,
    "archive_url": ARCHIVE,
    "staging_id": STAGING,
    "source_url": f"{ARCHIVE}/disk.img.xz",
    "source_version": "1764493200000000",
    "verified_by": "md5 of the object store",
    "attempt": 1,
    "created_at": EARLY,
    "staged_at": THEN,
    **nulls("last_accessed_at", "pinned_until", "evicted_at"),
}
_ONE_STAGING = {
    "id": STAGING,
    "archive_url": ARCHIVE,
    "state": "foreground_staged",
    "requested": ["image"],
    "caller": "ci",
    "reference_id": MARKER,
    "created_at": EARLY,
    "foreground_staged_at": THEN,
    "finished_at": None,
    "lock_id": LOCK,
    "attempt": 1,
    "waiting_for": [],
    "progress": {
        "bytes_done": 12300000,
        "bytes_total": 12300000,
        "bytes_per_second": None,
        "eta_seconds": None,
    },
    "artifacts": [{**_OF_STAGING, "brought_since_by": None}],
    "error": None,
}
_FILE = {
    "name": "disk.img",
    "path": f"{FOLDER}/disk.img",
    "url": f"/static/{FOLDER}/disk.img",
    "size_bytes": 12300000,
    "sha256": SHA256,
    "executable": False,
}
_WAITER = {
    "id": LOCK,
    "caller": "nightly",
    "holder": "pod-1:9:4",
    "reference_id": None,
    "waits_since": EARLY,
    "seen_at": THEN,
    "leaves_at": LATER,
}
_EVENT = {
    "id": ARTIFACT,
    "staging_id": STAGING,
    "number": 3,
    "at": THEN,
    "kind": "artifact",
    "artifact_id": ARTIFACT,
    "name": "image",
    "from_state": "staging",
    "to_state": "staged",
    "actor": "ci",
    "code": None,
    "message": None,
    "detail": {},
    "holder": HOLDER,
    "lock_id": LOCK,
}
_REQUESTED_ARCHIVE = {
    "archive_url": ARCHIVE,
    "url": f"/static/{FOLDER}/",
    "created_at": EARLY,
    "artifacts": {"staged": 1},
    "size_bytes": 12300000,
    "last_accessed_at": None,
    "pinned_until": None,
    "staging": {"id": STAGING, "state": "staged", "caller": "ci", "created_at": EARLY},
}
_CHOICE: Mapping[str, Any] = {
    "pattern": "*_full_*",
    "excluding": None,
    "extract": "as_is",
    "only": [],
    "without": [],
    "several": "refuse",
}
_ENTRY = {
    "name": "image",
    "group": "build",
    "phase": "foreground",
    "optional": False,
    "every": False,
    "lands": "disk.img",
    "aliases": [],
    "brings": [],
    "choices": [_CHOICE],
}
_PROCESS = {
    "name": HOLDER,
    "kind": "api",
    "alive": True,
    "version": "0.1.0",
    "build": "3f9a1c",
    "schema": "0031",
    "address": "10.0.0.7:8080",
    "places": 64,
    "busy": 3,
    "waiting": 12,
    "refused": 3,
    "threads": 80,
    "draining": False,
    "started_at": EARLY,
    "seen_at": LATER,
}
_INTERVAL = {
    "began_at": EARLY,
    "stagings": {"staged": 4},
    "artifacts": {"staged": 9},
    "fetched_bytes": 49200000,
    "staged_bytes": 49200000,
}
_IDLE = {"id": ARTIFACT, "archive_url": ARCHIVE, "name": "image", "size_bytes": 12300000}
_PRUNE_RECORD = {
    "token": PRUNE,
    "caller": "operator",
    "made_at": EARLY,
    "expires_at": LATER,
    "idle_before": EARLY,
    "keep_bytes": 0,
    "previewed": 1,
    "frees_bytes": 12300000,
    **nulls("reason", "begun_by", "begun_at", "ended_at", "evicted", "freed_bytes"),
}
_STORE = {
    "identity": STAGING,
    "used_bytes": 12300000,
    "garbage_bytes": 0,
    "reserved_bytes": 0,
    "quota_bytes": None,
    "free_bytes": 512000000000,
    "counted_at": THEN,
    "usage": [{"use": "idle", "blobs": 1, "bytes": 12300000, "files": 1, "file_bytes": 12300000}],
    "largest": [{"archive_url": ARCHIVE, "artifacts": 1, "bytes": 12300000}],
    "idlest": [{**_IDLE, "idle_since": THEN}],
    "checks": {"shards": 256, "checked_at": EARLY, "scrubbed_at": None, "lost": 0, "orphans": 0},
    "lost_contents": 0,
}

EXAMPLES: Mapping[str, Any] = {
    **ARCHIVE_EXAMPLES,
    **DOCUMENT_EXAMPLES,
    "ArtifactList": page(_FULL_ARTIFACT, ARTIFACT),
    "BreakRequest": {"reason": "the pod is gone"},
    "CatalogueCheckBody": {
        "archive_url": ARCHIVE,
        "catalogue": "yocto",
        "default": ["image"],
        "artifacts": [
            {
                **{name: _ENTRY[name] for name in ("name", "group", "phase", "optional")},
                "in_default": True,
                "choice": _CHOICE,
                "objects": ["disk.img.xz"],
                "lands": ["disk.img"],
                "reason": None,
            }
        ],
        "left_over": ["README"],
        "left_out": ["'logs//x'"],
        "collisions": [],
    },
    "CatalogueCheckRequest": {"archive_url": ARCHIVE},
    "CatalogueList": page(
        {"name": "yocto", "prefix": None, "default": ["image"], "artifacts": [_ENTRY]}
    ),
    "CountList": page(
        _INTERVAL, EARLY, counted_until=LATER, unfinished={"running": 1}, to_do={"staging": 1}
    ),
    "EventList": page(_EVENT),
    "FileList": page(_FILE),
    "FullArtifactBody": _FULL_ARTIFACT,
    "LockBody": GRANT,
    "LockList": page(GRANT),
    "Me": {"name": "ci", "roles": ["stager"], "may": ["POST /api/v1.0/stagings"]},
    "PinRequest": {"until": "2026-12-24T18:00:00Z"},
    "ProcessList": page(_PROCESS, database={"version": "17.6", "schema": "0031"}),
    "PruneBody": {**_PRUNE_RECORD, "artifacts": [_IDLE]},
    "PruneList": page(_PRUNE_RECORD),
    "PruneRequest": {"idle_seconds": 604800},
    "Ready": {"status": "ready", "checks": {"database": "ok", "store": "ok"}},
    "RequestedArchiveList": page(_REQUESTED_ARCHIVE),
    "StagingBody": _ONE_STAGING,
    "StagingList": page(_ONE_STAGING, STAGING),
    "StagingRequest": {"archive_url": ARCHIVE, "artifacts": ["image"]},
    "Start": {
        "name": "staging_api",
        "version": "0.1.0",
        "build": "3f9a1c",
        "links": {"openapi": "/openapi.json"},
    },
    "StoreBody": _STORE,
    "WaiterList": page(_WAITER),
}

"""Impossible rows: the database refuses each of them, by the constraint that forbids it."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg2
import pytest
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Connection,
    Date,
    DateTime,
    Double,
    Integer,
    Interval,
    LargeBinary,
    Table,
    insert,
    null,
    text,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB
from sqlalchemy.exc import IntegrityError

from staging_api.db.engine import Database
from staging_api.db.tables import metadata
from tests.rows import refused_by_database

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SHA256 = "0" * 64
BAD_SHA256 = ("0" * 63, "g" * 64, "A" * 64)
ID = "0" * 26
NO_WORD = "no such word"

Row = Mapping[str, Any]

#: A valid value for a column without a default, by the column's type.
_OF_TYPE: dict[type, Any] = {
    ARRAY: ["x"],
    BigInteger: 1,
    Boolean: False,
    Date: date(2026, 1, 2),
    DateTime: NOW,
    Double: 1.0,
    Integer: 1,
    Interval: timedelta(seconds=1),
    JSON: {},
    JSONB: {},
    LargeBinary: b"x",
}
#: Columns whose table needs another value.
_OF_TABLE: dict[str, Row] = {
    "api_locks": {"id": ID},
    "apt_archives": {"forms": ["plain"]},
    "archive_decisions": {"decision": "lift"},
    "dists_generations": {"state": "building"},
    "document_bodies": {"storage_policy": "cleartext", "body": {}},
    "document_events": {"kind": "tag"},
    "document_keys": {"key": bytes(32)},
    "document_revisions": {"kind": "emptied", "collection_id": 1},
    "hook_runs": {"stage": "before"},
    "idempotency_keys": {"request_sha256": SHA256, "status": 200},
    "index_files": {"form": "gz"},
    "lasting_releases": {"name": "Release"},
    "lost_contents": {"reason": "lost"},
    "package_files": {"path": "pool/x"},
    "package_publications": {"state": "pending", "source_release_id": 1},
    "packed_files": {"sha256": bytes(32)},
    "publisher_runs": {"operation": "publish-distro", "state": "running"},
    "release_files": {"name": "Release"},
    "service_processes": {"kind": "api"},
    "session_keys": {"key": bytes(32)},
    "staged_artifacts": {"phase": "foreground", "state": "pending"},
    "staging_events": {"kind": "pin"},
    "staging_minutes": {"kind": "staging"},
    "stagings": {"state": "queued"},
    "store_checks": {"shard": "0a"},
    "store_usage": {"use": "idle"},
    "uploads": {"state": "new", "source_release_id": 1},
}
_STAGED = {
    "state": "staged",
    "sha256": SHA256,
    "size_bytes": 0,
    "staged_at": NOW,
    "source_url": "x",
    "fence": 1,
}
_ENDED = {"finished_at": NOW, "foreground_staged_at": NOW}
_DELETED = {"state": "deleted", "ended_at": NOW, "deleted_by": "x", "reason": "x"}
_PUBLISHED = {"state": "published", "published_at": NOW}

#: Rare but valid rows that no constraint may refuse: by table, the columns with other values.
TAKEN: dict[str, tuple[Row, ...]] = {
    "api_locks": ({"outcome": "broken", "reason": "x", "ended_at": NOW},),
    "apt_archives": ({"valid_for_seconds": 1, "retention_seconds": 0, "quarantine_seconds": 0},),
    "artifact_accesses": ({"hits": 0, "bytes": 0},),
    "blobs": (
        {"size_bytes": 0},
        {"doomed_at": NOW, "removing_until": NOW, "removal_failures": 1},
    ),
    "dists_generations": (
        {"number": 2, "content_number": 1},
        {"state": "live", "live_at": NOW, "pinned_at": NOW, "pinned_by": "x"},
        {"state": "retired", "live_at": NOW, "retired_at": NOW},
        {"state": "reaped", "live_at": NOW, "retired_at": NOW, "reaped_at": NOW},
    ),
    "document_bodies": (
        {"position": 0},
        {"storage_policy": "encrypted", "body": null(), "sealed": b"x"},
    ),
    "document_collections": ({"name": "x" * 36},),
    "document_commits": (
        {"confirm_until": NOW, "confirmed_at": NOW, "confirmed_by": "x"},
        {"confirm_until": NOW, "undone_in": 2},
    ),
    "document_contents": ({"documents_count": 0, "size_bytes": 0},),
    "document_events": ({"number": 2, "previous_digest": SHA256},),
    "document_places": ({"until_revision": 2, "schema": "x" * 64, "name": "x" * 64},),
    "document_revisions": (
        {"kind": "replaced", "copied_from": 0},
        {"kind": "discarded"},
        {"kind": "discarded", "collection_id": None, "copied_from": 0},
        {"kind": "rolled_back", "collection_id": None, "copied_from": 1, "number": 2},
    ),
    "document_tags": ({"tag": "x" * 64},),
    "growing_files": ({"bytes_done": 0, "size_bytes": 0},),
    "hook_runs": ({"seconds": 0, "exit_code": -9}, {"timed_out": True}),
    "index_files": ({"size_bytes": 0, "gone_number": 2},),
    "lasting_releases": (
        {"name": "InRelease", "signed_by": "x"},
        {"name": "Release", "signed_by": ""},
    ),
    "package_files": ({"size_bytes": 0},),
    "package_publications": (
        {**_PUBLISHED, "listed_in": 1, "unlisted_since": NOW},
        {"state": "superseded", "published_at": NOW, "ended_at": NOW, "superseded_by": 0},
        {**_DELETED, "unlisted_since": NOW},
        {**_DELETED, "published_at": NOW, "listed_in": 1, "delisted_in": 1},
        {**_DELETED, "scheduled_deletion_at": NOW, "removed_at": NOW, "delisted_in": 1},
    ),
    "packs": ({"size_bytes": 0, "first_path": "B", "last_path": "a"},),
    "packed_files": ({"pack_offset": 0, "size_bytes": 0},),
    "publisher_runs": (
        {"state": "failed", "error_code": "x", "error_message": "x", "finished_at": NOW},
        {"state": "abandoned", "error_message": "x", "finished_at": NOW, "items_total": 0},
    ),
    "release_files": (
        {"name": "Release.gpg", "signed_by": None},
        {"name": "InRelease", "signed_by": "x", "gone_number": 2},
    ),
    "service_processes": (dict.fromkeys(("places", "busy", "waiting", "threads"), 0),),
    "source_release_files": ({"position": 0},),
    "components": ({"position": 0},),
    "run_phases": ({"position": 0},),
    "staged_artifacts": (
        {"state": "evicted", "evicted_at": NOW, "evict_reason": "asked"},
        _STAGED,
        {**_STAGED, "state": "evicted", "evicted_at": NOW, "evict_reason": "space"},
        {"state": "failed", "error_code": "x", "error_message": "x", "error_retryable": True},
        {"fence": 1, "bytes_done": 0, "bytes_total": 0},
    ),
    "staging_events": ({"number": 2, "previous_digest": SHA256},),
    "stagings": (
        {**_ENDED, "state": "staged", "artifact_ids": []},
        {**_ENDED, "state": "cancelled"},  # as the only client that waited for it has disconnected
        {**_ENDED, "state": "cancelled", "cancel_requested_at": NOW},
        {"upload_wait_began_at": NOW, "waiting_for": ["x"], "upload_wait_seconds": 0},
        {"upload_wait_began_at": NOW, "upload_wait_ended_at": NOW},
        {"events_count": 1, "events_digest": SHA256, "events_dropped": 1},
        {"joined": ["x"], "joined_by": "x", "lock_id": ID, "fence": 1},
    ),
    "store_checks": (
        {"checked_at": NOW, **dict.fromkeys(("files", "bytes", "lost", "strangers"), 0)},
    ),
    "store_largest": ({"bytes": 0},),
    "store_prunes": (
        {"keep_bytes": 0, "frees_bytes": 0},
        {
            **dict.fromkeys(("begun_at", "ended_at"), NOW),
            **dict.fromkeys(("begun_by", "reason"), "x"),
            "evicted": 0,
            "freed_bytes": -1,
        },
    ),
    "store_usage": (dict.fromkeys(("blobs", "bytes", "files", "file_bytes"), 0),),
    "upload_polls": ({"polled_at": NOW, "names": []},),
    "uploads": (
        {"state": "rejected", "error_message": "x", "source_release_id": None},
        {"state": "done", "done_at": NOW, "decided_at": NOW, "decided_by": "x"},
    ),
}
_NEGATIVE_SIZE = ({"size_bytes": -1},)
_NO_STATE = ({"state": NO_WORD},)
_NO_KIND = ({"kind": NO_WORD},)
_GROWS = ({"first_number": 2, "gone_number": 2},)
_NO_NAMES = tuple({"name": name} for name in ("", "A", "-a", "a/b", "a" * 65))
_NO_COMPONENTS = tuple(
    {"name": name}
    for name in (
        *("", "-a", "a" * 65, "a/" + "b" * 65, "a/b/c/d/e", "a//b", "/a", "a/", "a/..", "a b"),
        *("Release", "InRelease/a", "Release.gpg", "a/source", "a/binary-amd64/b", "a/by-hash"),
        "a/b/debian-installer",
    )
)
_NO_SUITE_NAMES = ("", "-a", "a/b", "a b", "a" * 129)
_SECRETS = ({"key": bytes(31)}, {"key": bytes(33)})
_RELEASE_NAMES = ({"name": "release"},)
_NO_RELEASES: Row = {"source_release_id": None}
_TWO_RELEASES: Row = {"binary_release_id": 1}

#: Impossible rows by the constraint that refuses them.
REFUSED: dict[str, tuple[Row, ...]] = {
    "api_locks_ended_check": (
        {"outcome": "released"},
        {"ended_at": NOW},
        {"outcome": "broken", "ended_at": NOW},
        {"outcome": "expired", "ended_at": NOW - timedelta(seconds=1)},
    ),
    "apt_archives_advertised_is_published_check": (
        {"publish_by_hash": False, "advertise_by_hash": True},
    ),
    "apt_archives_forms_check": ({"forms": []}, {"forms": ["plain", "bz2"]}),
    "apt_archives_name_check": _NO_NAMES,
    "apt_archives_times_check": ({"retention_seconds": -1}, {"quarantine_seconds": -1}),
    "apt_archives_valid_for_check": ({"valid_for_seconds": 0},),
    "archive_decisions_decision_check": ({"decision": NO_WORD},),
    "architectures_name_check": (*_NO_NAMES, {"name": "all"}),
    "artifact_accesses_numbers_check": ({"hits": -1}, {"bytes": -1}),
    "blobs_removal_check": (
        *_NEGATIVE_SIZE,
        {"removal_failures": -1, "doomed_at": NOW},
        {"removal_failures": 1},
        {"removing_until": NOW},
    ),
    "components_name_check": _NO_COMPONENTS,
    "components_position_check": ({"position": -1},),
    "dists_generations_content_check": ({"content_number": 2}, {"content_number": 0}),
    "dists_generations_pinned_is_kept_check": ({"pinned_at": NOW, "pinned_by": "x"},),
    "dists_generations_pinned_says_who_check": (
        {"pinned_by": "x"},
        {"state": "live", "live_at": NOW, "pinned_at": NOW},
    ),
    "dists_generations_reaped_check": (
        {"reaped_at": NOW},
        {"state": "reaped", "live_at": NOW, "retired_at": NOW},
    ),
    "dists_generations_retired_check": (
        {"retired_at": NOW},
        {"state": "retired", "live_at": NOW},
    ),
    "dists_generations_state_check": _NO_STATE,
    "dists_generations_was_live_check": ({"live_at": NOW}, {"state": "live"}),
    "document_bodies_encrypted_is_sealed_check": (
        {"storage_policy": "encrypted"},
        {"body": null(), "sealed": b"x"},
    ),
    "document_bodies_one_form_check": (
        {"body": null()},
        {"storage_policy": "encrypted", "sealed": b"x"},
    ),
    "document_bodies_position_check": ({"position": -1},),
    "document_bodies_storage_policy_check": ({"storage_policy": NO_WORD},),
    "document_collection_versions_range_check": ({"first_revision": 2, "until_revision": 2},),
    "document_collections_name_check": ({"name": ""}, {"name": "x" * 37}),
    "document_commits_confirmed_or_undone_check": (
        {"confirm_until": NOW, "confirmed_at": NOW, "confirmed_by": "x", "undone_in": 2},
    ),
    "document_commits_confirmed_says_who_check": (
        {"confirm_until": NOW, "confirmed_at": NOW},
        {"confirmed_by": "x"},
    ),
    "document_commits_final_check": (
        {"confirmed_at": NOW, "confirmed_by": "x"},
        {"undone_in": 2},
    ),
    "document_commits_undone_later_check": ({"confirm_until": NOW, "undone_in": 1},),
    "document_contents_sizes_check": ({"documents_count": -1}, {"size_bytes": -1}),
    "document_events_first_has_none_before_check": (
        {"number": 2},
        {"previous_digest": SHA256},
    ),
    "document_events_kind_check": _NO_KIND,
    "document_events_number_check": ({"number": 0, "previous_digest": SHA256},),
    "document_keys_key_check": _SECRETS,
    "document_places_range_check": ({"first_revision": 2, "until_revision": 2},),
    "document_places_widths_check": ({"schema": "x" * 65}, {"name": "x" * 65}),
    "document_revisions_copied_from_check": (
        {"kind": "replaced", "copied_from": 1},
        {"kind": "replaced", "copied_from": -1},
    ),
    "document_revisions_kind_check": ({"kind": NO_WORD, "copied_from": 0, "collection_id": None},),
    "document_revisions_made_of_check": (
        {"collection_id": None},
        {"copied_from": 0},
        {"kind": "posted", "collection_id": None},
        {"kind": "replaced"},
        {"kind": "replaced", "collection_id": None, "copied_from": 0},
        {"kind": "discarded", "collection_id": None},
        {"kind": "discarded", "copied_from": 0},
        {"kind": "rolled_back", "copied_from": 0},
        {"kind": "undone", "collection_id": None},
    ),
    "document_revisions_number_check": ({"number": 0},),
    "document_tags_tag_check": ({"tag": ""}, {"tag": "x" * 65}),
    "generation_holds_content_check": ({"content_number": 0},),
    "growing_files_sizes_check": ({"bytes_done": -1}, {"size_bytes": -1}),
    "held_objects_size_check": _NEGATIVE_SIZE,
    "hook_runs_ended_check": ({"seconds": -1}, {"timed_out": True, "exit_code": 0}),
    "hook_runs_stage_check": ({"stage": NO_WORD},),
    "idempotency_keys_response_check": (
        {"status": 99},
        {"status": 600},
        *({"request_sha256": bad} for bad in BAD_SHA256),
    ),
    "index_blocks_sizes_check": ({"entries": 0}, {"plain_bytes": 0}),
    "index_files_form_check": ({"form": "bz2"},),
    "index_files_numbers_check": _GROWS,
    "index_files_sizes_check": ({"first_number": 0}, {"size_bytes": -1}),
    "lasting_releases_name_check": _RELEASE_NAMES,
    "lasting_releases_signed_check": (
        {"name": "InRelease", "signed_by": ""},
        {"name": "Release.gpg", "signed_by": ""},
    ),
    "lock_scopes_held_check": tuple(
        {
            "lock_id": ID,
            **dict.fromkeys(("expires_at", "acquired_at"), NOW),
            **dict.fromkeys(("caller", "holder"), "x"),
            name: None,
        }
        for name in ("expires_at", "acquired_at", "caller", "holder")
    ),
    "loose_files_size_check": _NEGATIVE_SIZE,
    "lost_contents_reason_check": ({"reason": "asked"},),
    "package_files_path_check": ({"path": "dists/pool/x"},),
    "package_files_size_check": _NEGATIVE_SIZE,
    "package_publications_active_is_not_condemned_check": ({"scheduled_deletion_at": NOW},),
    "package_publications_deleted_says_why_check": (
        {**_DELETED, "deleted_by": None},
        {**_DELETED, "reason": None},
    ),
    "package_publications_ended_check": ({"ended_at": NOW}, {**_DELETED, "ended_at": None}),
    "package_publications_listed_check": (
        {**_PUBLISHED, "listed_in": 0},
        {**_PUBLISHED, "listed_in": 1, "delisted_in": 2},
        {**_DELETED, "published_at": NOW, "listed_in": 2, "delisted_in": 1},
        {**_DELETED, "delisted_in": 0},
    ),
    "package_publications_one_release_check": (_NO_RELEASES, _TWO_RELEASES),
    "package_publications_only_deleted_says_why_check": ({"deleted_by": "x"}, {"reason": "x"}),
    "package_publications_pending_is_not_listed_check": ({"unlisted_since": NOW},),
    "package_publications_published_check": ({"state": "published"},),
    "package_publications_removed_is_settled_check": (
        {**_DELETED, "scheduled_deletion_at": NOW, "removed_at": NOW, "unlisted_since": NOW},
    ),
    "package_publications_removed_was_condemned_check": ({**_DELETED, "removed_at": NOW},),
    "package_publications_state_check": _NO_STATE,
    "package_publications_superseded_check": (
        {"state": "superseded", "ended_at": NOW},
        {**_PUBLISHED, "superseded_by": 0},
    ),
    "package_publications_was_published_check": (
        {"listed_in": 1},
        {"state": "superseded", "ended_at": NOW, "superseded_by": 0},
    ),
    "packed_files_place_check": ({"pack_offset": -1}, {"size_bytes": -1}),
    "packed_files_sha256_check": ({"sha256": bytes(31)}, {"sha256": bytes(33)}),
    "packs_paths_check": ({"first_path": "a", "last_path": "B"},),
    "packs_size_bytes_check": _NEGATIVE_SIZE,
    "publisher_runs_failed_says_why_check": ({"state": "failed", "finished_at": NOW},),
    "publisher_runs_finished_check": ({"finished_at": NOW}, {"state": "succeeded"}),
    "publisher_runs_items_check": ({"items_done": -1}, {"items_total": -1}),
    "publisher_runs_operation_check": ({"operation": NO_WORD},),
    "publisher_runs_purpose_check": ({"purpose": NO_WORD},),
    "publisher_runs_state_check": ({"state": NO_WORD, "finished_at": NOW},),
    "publisher_runs_steps_check": ({"steps": -1},),
    "publisher_runs_without_error_check": (
        {"error_code": "x"},
        {"state": "succeeded", "finished_at": NOW, "error_message": "x"},
    ),
    "release_files_name_check": _RELEASE_NAMES,
    "release_files_numbers_check": _GROWS,
    "release_files_signed_check": ({"first_number": 0}, {"name": "InRelease", "signed_by": ""}),
    "run_phases_position_check": ({"position": -1},),
    "service_processes_every_seconds_check": ({"every_seconds": 0},),
    "service_processes_kind_check": _NO_KIND,
    "service_processes_numbers_check": tuple(
        {name: -1} for name in ("places", "busy", "waiting", "threads")
    ),
    "service_processes_refused_check": ({"refused": -1},),
    "session_keys_key_check": _SECRETS,
    "session_keys_sole_check": ({"sole": False},),
    "source_release_files_position_check": ({"position": -1},),
    "staged_artifacts_attempt_check": ({"attempt": -1}, {"bytes_total": -1}, {"lock_id": ID}),
    "staged_artifacts_evict_reason_check": (
        {**_STAGED, "state": "evicted", "evicted_at": NOW, "evict_reason": NO_WORD},
    ),
    "staged_artifacts_evicted_check": ({"evicted_at": NOW}, {**_STAGED, "state": "evicted"}),
    "staged_artifacts_failed_says_why_check": ({"state": "failed"},),
    "staged_artifacts_outcome_check": (
        {"staged_at": NOW},
        {**_STAGED, "staged_at": None},
        {**_STAGED, "evict_reason": "space"},
        {**_STAGED, "error_code": "x"},
        {"error_message": "x"},
        {"error_retryable": False},
    ),
    "staged_artifacts_phase_check": ({"phase": NO_WORD},),
    "staged_artifacts_sizes_check": ({"size_bytes": -1}, {"bytes_done": -1}),
    "staged_artifacts_staged_is_proven_check": tuple(
        {**_STAGED, name: None} for name in ("sha256", "size_bytes", "source_url", "fence")
    ),
    "staged_artifacts_state_check": _NO_STATE,
    "staging_counted_sole_check": ({"sole": False},),
    "staging_event_drops_events_check": ({"events": 0},),
    "staging_events_first_has_none_before_check": ({"number": 2}, {"previous_digest": SHA256}),
    "staging_events_kind_check": _NO_KIND,
    "staging_events_number_check": ({"number": 0, "previous_digest": SHA256},),
    "staging_minutes_kind_check": _NO_KIND,
    "staging_minutes_numbers_check": (
        {"count": 0},
        {"fetched_bytes": -1},
        {"staged_bytes": -1},
    ),
    "stagings_events_check": (
        {"events_dropped": -1},
        {"events_dropped": 1},
        {"events_count": 1},
        {"events_digest": SHA256},
    ),
    "stagings_failed_says_why_check": ({"state": "failed", "finished_at": NOW},),
    "stagings_finished_check": (
        {"finished_at": NOW},
        {"state": "failed", "error_code": "x"},
    ),
    "stagings_joined_check": ({"joined": ["x"]}, {"joined_by": "x"}),
    "stagings_outcome_check": (
        {"state": "foreground_staged"},
        {"state": "staged", "finished_at": NOW},
        {"state": "staged", **_ENDED, "error_code": "x"},
        {"artifact_ids": ["x"]},
        {"error_message": "x"},
        {"error_retryable": True},
    ),
    "stagings_request_check": ({"requested": []}, {"attempt": -1}, {"lock_id": ID}, {"fence": 1}),
    "stagings_state_check": _NO_STATE,
    "stagings_upload_wait_check": (
        {"upload_wait_seconds": -1},
        {"upload_wait_ended_at": NOW},
        {"waiting_for": ["x"]},
        {"upload_wait_began_at": NOW},
        {"upload_wait_began_at": NOW, "upload_wait_ended_at": NOW, "waiting_for": ["x"]},
    ),
    "store_checks_found_check": (
        {"checked_at": NOW},
        {"files": 1},
        {"checked_at": NOW, "files": 0, "bytes": 0, "lost": 0, "strangers": -1},
    ),
    "store_checks_shard_check": ({"shard": "0"}, {"shard": "0A"}, {"shard": "00a"}),
    "store_identity_sole_check": ({"sole": False},),
    "store_largest_numbers_check": ({"place": 0}, {"artifacts": 0}, {"bytes": -1}),
    "store_prunes_numbers_check": ({"keep_bytes": -1}, {"frees_bytes": -1}),
    "store_prunes_steps_check": (
        {"begun_at": NOW},
        {"reason": "x"},
        {"ended_at": NOW, "evicted": 0, "freed_bytes": 0},
        {"begun_at": NOW, "begun_by": "x", "reason": "x", "ended_at": NOW},
    ),
    "store_reservations_bytes_check": ({"bytes": -1},),
    "store_usage_numbers_check": tuple(
        {name: -1} for name in ("blobs", "bytes", "files", "file_bytes")
    ),
    "store_usage_use_check": ({"use": NO_WORD},),
    "suite_holds_content_check": ({"content_number": 0},),
    "suites_codename_check": tuple({"codename": name} for name in _NO_SUITE_NAMES),
    "suites_name_check": tuple({"name": name} for name in _NO_SUITE_NAMES),
    "upload_polls_polls_check": ({"polls": 0}, {"polled_at": NOW}, {"names": ["x"]}),
    "upload_reservations_bytes_check": ({"bytes": -1},),
    "uploads_decided_check": (
        {"state": "accepted", "decided_at": NOW},
        {"state": "accepted", "decided_by": "x"},
        {"decided_at": NOW, "decided_by": "x"},
    ),
    "uploads_done_check": ({"state": "done"}, {"done_at": NOW}),
    "uploads_failures_check": ({"attempts": -1}, {"error_code": "x"}),
    "uploads_one_release_check": (
        _NO_RELEASES,
        _TWO_RELEASES,
        {"state": "rejected", "error_message": "x", **_TWO_RELEASES},
    ),
    "uploads_rejected_says_why_check": ({"state": "rejected"},),
    "uploads_state_check": _NO_STATE,
}

#: Conditions that a column holds a digest.
_OF_DIGEST = re.compile(r"length\((\w+)\) = 64 AND \1 !~ '\[\^0-9a-f\]'")


def checks() -> dict[str, CheckConstraint]:
    """Return every CHECK constraint of the tables, by name."""
    found = [
        each
        for table in metadata.tables.values()
        for each in table.constraints
        if isinstance(each, CheckConstraint)
    ]
    return {str(each.name): each for each in found}


def refused() -> dict[str, tuple[Row, ...]]:
    """Return the impossible rows for each CHECK constraint."""
    found = dict(REFUSED)
    for name, check in checks().items():
        if column := _OF_DIGEST.fullmatch(str(check.sqltext)):
            found[name] = tuple({column[1]: bad} for bad in BAD_SHA256)
    return found


def row_of(table: Table, otherwise: Row) -> dict[str, Any]:
    """Return a row with only the required columns, and the given values."""
    needed = {
        column.name: _filled(column.name, column.type)
        for column in table.columns
        if not (column.nullable or column.server_default is not None or column.identity)
    }
    return needed | dict(_OF_TABLE.get(table.name, {})) | dict(otherwise)


def _filled(name: str, kind: object) -> Any:
    if name in ("sha256", "digest") and not isinstance(kind, LargeBinary):
        return SHA256
    return next((value for each, value in _OF_TYPE.items() if isinstance(kind, each)), "x")


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    """Yield a connection, in a transaction that is rolled back and checks no foreign keys."""
    with database.begin() as conn, conn.begin_nested() as savepoint:
        conn.execute(text("SET LOCAL session_replication_role = 'replica'"))
        yield conn
        savepoint.rollback()


def test_every_check_of_the_tables_has_a_row_that_it_refuses():
    assert refused().keys() == checks().keys()


@pytest.mark.parametrize("name", sorted(refused()))
def test_an_impossible_row_is_refused(conn: Connection, name: str):
    table = checks()[name].table
    for otherwise in refused()[name]:
        with pytest.raises(IntegrityError) as error, conn.begin_nested():
            conn.execute(insert(table).values(row_of(table, otherwise)))
        refusal = error.value.orig
        assert isinstance(refusal, psycopg2.Error)
        assert refusal.diag.constraint_name == name, otherwise


@pytest.mark.parametrize("name", sorted(metadata.tables))
def test_a_possible_row_is_taken(conn: Connection, name: str):
    table = metadata.tables[name]
    for otherwise in ({}, *TAKEN.get(name, ())):
        with conn.begin_nested() as savepoint:
            conn.execute(insert(table).values(row_of(table, otherwise)))
            savepoint.rollback()


#: Two archives of packages and two of builds, with the rows that others refer to.
_WORLD = """
    INSERT INTO apt_archives (id, name, forms, retention_seconds, quarantine_seconds)
        OVERRIDING SYSTEM VALUE
        SELECT n, 'a' || n, '{gz}', 1, 1 FROM generate_series(1, 2) n;
    INSERT INTO suites (id, archive_id, name, codename) OVERRIDING SYSTEM VALUE
        SELECT n, n, 's' || n, 's' || n FROM generate_series(1, 2) n;
    INSERT INTO components (suite_id, name, position) VALUES (1, 'main', 0), (2, 'main', 0);
    INSERT INTO blobs (sha256, size_bytes)
        SELECT repeat(n::text, 64), 1 FROM generate_series(1, 2) n;
    INSERT INTO package_files (id, archive_id, path, sha256, size_bytes) OVERRIDING SYSTEM VALUE
        SELECT n, n, 'pool/p', repeat(n::text, 64), 1 FROM generate_series(1, 2) n;
    INSERT INTO source_releases (id, archive_id, package, version, version_key, control)
        OVERRIDING SYSTEM VALUE
        SELECT n, n, 'p', '1', '1', '' FROM generate_series(1, 2) n;
    INSERT INTO binary_releases (id, archive_id, package, version, version_key, architecture,
        installer, source, source_version_key, control, file_id) OVERRIDING SYSTEM VALUE
        SELECT n, n, 'p', '1', '1', 'all', false, 'p', '1', '', n FROM generate_series(1, 2) n;
    INSERT INTO package_publications (id, suite_id, component, binary_release_id, package, state)
        OVERRIDING SYSTEM VALUE
        SELECT n, n, 'main', n, 'p', 'pending' FROM generate_series(1, 2) n;
    INSERT INTO dists_generations (id, archive_id, number, content_number, state)
        SELECT 'g' || n, n, 1, 1, 'building' FROM generate_series(1, 2) n;
    INSERT INTO archives (archive_url, static_prefix) VALUES ('gs://one', '1'), ('gs://two', '2');
    INSERT INTO stagings (id, archive_url, state, requested, caller)
        VALUES ('s1', 'gs://one', 'queued', '{a}', 'me'), ('s2', 'gs://two', 'queued', '{a}', 'me');
    INSERT INTO document_revisions (number, kind, copied_from, digest, caller, holder, lock_id,
        fence)
        SELECT n, 'rolled_back', 0, repeat('0', 64), 'me', 'pod', repeat('0', 26), 1
        FROM generate_series(1, 3) n;
    INSERT INTO document_commits (revision, forced, caller, holder, lock_id, fence, confirm_until,
        confirmed_at, confirmed_by)
        VALUES (1, false, 'me', 'pod', repeat('0', 26), 1, now(), now(), 'me'),
            (2, false, 'me', 'pod', repeat('0', 26), 1, now(), NULL, NULL);
"""

#: A row in which ``:n`` is 1 for a valid reference and 2 for an invalid one; its constraint.
_OF_TWO = {
    "a file of a source": (
        "INSERT INTO source_release_files (source_release_id, position, file_id) VALUES (1, 0, :n)",
        "source_release_files names rows of two archives",
    ),
    "the file of a package": (
        "UPDATE binary_releases SET file_id = :n WHERE id = 1",
        "binary_releases names rows of two archives",
    ),
    "a package that is uploaded": (
        (
            "INSERT INTO uploads (id, suite_id, component, name, state, caller, binary_release_id)"
            " VALUES ('u', 1, 'main', 'p.deb', 'new', 'me', :n)"
        ),
        "uploads names rows of two archives",
    ),
    "a source that is uploaded": (
        (
            "INSERT INTO uploads (id, suite_id, component, name, state, caller, source_release_id)"
            " VALUES ('u', 1, 'main', 'p.dsc', 'new', 'me', :n)"
        ),
        "uploads names rows of two archives",
    ),
    "a package in a suite": (
        "UPDATE package_publications SET binary_release_id = :n WHERE id = 1",
        "package_publications names rows of two archives",
    ),
    "a source in a suite": (
        (
            "INSERT INTO package_publications (suite_id, component, source_release_id, package,"
            " state) VALUES (1, 'main', :n, 'p', 'pending')"
        ),
        "package_publications names rows of two archives",
    ),
    "the hold of a suite": (
        (
            "INSERT INTO suite_holds (suite_id, generation_id, content_number, held_by)"
            " VALUES (1, 'g' || :n, 1, 'me')"
        ),
        "suite_holds names rows of two archives",
    ),
    "a suite that was held in a generation": (
        (
            "INSERT INTO generation_holds (suite_id, generation_id, content_number)"
            " VALUES (1, 'g' || :n, 1)"
        ),
        "generation_holds names rows of two archives",
    ),
    "what clients see": (
        (
            "INSERT INTO distributions (archive_id, live_generation_id, head_generation_id,"
            " changed_by) VALUES (1, 'g' || :n, 'g1', 'me')"
        ),
        "distributions_live_generation_id_fkey",
    ),
    "the newest in which no suite is held": (
        (
            "INSERT INTO distributions (archive_id, live_generation_id, head_generation_id,"
            " changed_by) VALUES (1, 'g1', 'g' || :n, 'me')"
        ),
        "distributions_head_generation_id_fkey",
    ),
    "the staging of an artifact": (
        (
            "INSERT INTO staged_artifacts (id, staging_id, archive_url, name, lock_kind, phase,"
            " state, path)"
            " VALUES ('a', 's' || :n, 'gs://one', 'a', 'archive', 'foreground', 'pending', 'a')"
        ),
        "artifact a cannot be pending for staging s2, which is finished or of another archive",
    ),
    "what a package was superseded by": (
        (
            "UPDATE package_publications SET state = 'superseded', published_at = now(),"
            " ended_at = now(), superseded_by = 4 - 2 * :n WHERE id = 1"
        ),
        "package_publications_superseded_by_fkey",
    ),
    "a package that superseded another one": (
        (
            "UPDATE package_publications SET state = 'superseded', published_at = now(),"
            " ended_at = now(), superseded_by = 3 - :n WHERE id = 1"
        ),
        "package_publications_was_published_check",
    ),
    "a commit that waits": (
        (
            "INSERT INTO document_commits (revision, forced, caller, holder, lock_id, fence,"
            " confirm_until) VALUES (3, false, 'me', 'pod', repeat('0', 26), 1,"
            " CASE WHEN :n = 2 THEN now() END)"
        ),
        "document_commits_one_unconfirmed_key",
    ),
    "the order of components": (
        "INSERT INTO components (suite_id, name, position) VALUES (1, 'contrib', 2 - :n)",
        "components_suite_id_position_key",
    ),
}


@pytest.mark.parametrize("said", _OF_TWO)
def test_a_row_that_contradicts_another_one_is_refused(database: Database, said: str):
    statement, words = _OF_TWO[said]
    with database.begin() as conn, conn.begin_nested() as savepoint:
        conn.exec_driver_sql(_WORLD)
        with conn.begin_nested() as taken:
            conn.execute(text(statement), {"n": 1})
            taken.rollback()
        with refused_by_database(words), conn.begin_nested():
            conn.execute(text(statement), {"n": 2})
        savepoint.rollback()


def test_a_blob_that_is_kept_has_no_failures_of_removal(database: Database):
    """Whether a removal is in progress, or all removals so far have failed."""
    with database.begin() as conn, conn.begin_nested() as savepoint:
        conn.exec_driver_sql(
            "INSERT INTO blobs (sha256, size_bytes, doomed_at, removing_until, removal_failures)"
            " SELECT repeat(n::text, 64), 1, now(), CASE WHEN n = 1 THEN now() END, n"
            " FROM generate_series(1, 4) n"
        )
        conn.exec_driver_sql("UPDATE blobs SET doomed_at = NULL WHERE removal_failures < 3")
        conn.exec_driver_sql("UPDATE blobs SET doomed_at = now() WHERE removal_failures = 3")
        found = conn.exec_driver_sql(
            "SELECT doomed_at IS NULL, removing_until, removal_failures FROM blobs ORDER BY sha256"
        ).all()
        savepoint.rollback()
    assert found == [(True, None, 0), (True, None, 0), (False, None, 3), (False, None, 4)]

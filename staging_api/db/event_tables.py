"""The record of staging events: append-only; each row has the digest of the one before.

Triggers of ``db/functions/staging_events.sql`` write the rows, in the transaction of the change
that they record. So no code can omit an event, and changes made by hand are recorded, too.
"""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB

from staging_api.db.schema import Time, Ulid, is_sha256, key, now, required, table, words
from staging_api.vocabulary.staging import EVENT_KINDS

staging_events = table(
    "staging_events",
    key("id", Ulid, comment="ULID; its time is that of the event"),
    required("staging_id", ForeignKey("stagings.id"), comment="whose chain it belongs to"),
    required("number", BigInteger, comment="place in that chain: 1, 2, 3 ..."),
    required("at", Time, comment="when, by the database's clock"),
    *words("kind", EVENT_KINDS),
    Column("artifact_id", Ulid, comment="the artifact; null: it is about the staging itself"),
    Column("name", Text, comment="of the artifact"),
    Column("from_state", Text, comment="null: it is new"),
    Column("to_state", Text, comment="of the staging or of the artifact, by kind"),
    required("actor", Text, comment="on whose behalf: a caller, or a database role"),
    Column("holder", Text, comment="the process that did it"),
    Column("lock_id", Ulid, comment="the grant under which it was done; null: under none"),
    Column("fence", BigInteger, comment="of the grant under which it was done"),
    Column("code", Text, comment="why: of the error, or why it was evicted"),
    Column("message", Text, comment="why, in one sentence"),
    required("detail", JSONB, comment="what else changed: attempt, digest, source"),
    Column("previous_digest", Text, comment="digest of the event before it; null for the first"),
    required("digest", Text, comment="sha256 of all other columns, in order, as JSON"),
    CheckConstraint("number >= 1", name="number"),
    CheckConstraint("(number = 1) = (previous_digest IS NULL)", name="first_has_none_before"),
    CheckConstraint(is_sha256("digest"), name="digest"),
    Index(None, "staging_id", "number"),
    Index(None, "artifact_id", "at"),
    comment="Every change of state of a staging or artifact: who, what, from, to, why.",
    postgresql_partition_by="RANGE (id)",
)

staging_event_drops = table(
    "staging_event_drops",
    key("id", Integer, comment="1, 2, 3 ..."),
    required("at", Time, server_default=now, comment="when they were dropped"),
    required("role", Text, comment="the database role that did it"),
    required("reason", Text, comment="as given by that role"),
    required("below", Ulid, comment="every event with a lower id was dropped"),
    required("events", BigInteger, comment="number of events that were dropped"),
    CheckConstraint("events > 0", name="events"),
    comment="Removals of old events: of whole months, only by staging_events_drop().",
)

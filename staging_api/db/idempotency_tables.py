"""The table of stored responses to requests with an Idempotency-Key."""

from sqlalchemy import Column, Index, Integer, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from staging_api.db.schema import Time, metadata, now

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("caller", Text, primary_key=True, comment="who sent the key"),
    Column("key", Text, primary_key=True, comment="the caller's Idempotency-Key"),
    Column("request_sha256", Text, nullable=False, comment="of method, path, query and body"),
    Column("status", Integer, nullable=False, comment="HTTP status of the response"),
    Column("headers", JSONB, nullable=False, comment="of the response"),
    Column("body", LargeBinary, nullable=False, comment="of the response, as it was sent"),
    Column(
        "created_at", Time, nullable=False, server_default=now, comment="when the response was made"
    ),
    Index(None, "created_at"),
    comment="Responses that are sent again for a request with the same key.",
)

"""The table of stored responses to requests with an Idempotency-Key."""

from sqlalchemy import CheckConstraint, Index, Integer, LargeBinary, Text
from sqlalchemy.dialects.postgresql import JSONB

from staging_api.db.schema import Time, is_sha256, key, now, required, table

idempotency_keys = table(
    "idempotency_keys",
    key("caller", Text, comment="who sent the key"),
    key("key", Text, comment="the caller's Idempotency-Key"),
    required("request_sha256", Text, comment="of method, path, query and body"),
    required("status", Integer, comment="HTTP status of the response"),
    required("headers", JSONB, comment="of the response"),
    required("body", LargeBinary, comment="of the response, as it was sent"),
    required("created_at", Time, server_default=now, comment="when the response was made"),
    CheckConstraint(
        f"status BETWEEN 100 AND 599 AND {is_sha256('request_sha256')}", name="response"
    ),
    Index(None, "created_at"),
    comment="Responses that are sent again for a request with the same key.",
)

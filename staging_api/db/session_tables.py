"""The table of the key that signs the session cookies of browsers."""

from sqlalchemy import Boolean, CheckConstraint, LargeBinary, true

from staging_api.db.schema import Time, key, now, required, table

session_keys = table(
    "session_keys",
    key("sole", Boolean, server_default=true(), comment="true: one row"),
    required("key", LargeBinary, comment="32 bytes"),
    required("created_at", Time, server_default=now, comment="when it was made"),
    CheckConstraint("sole", name="sole"),
    CheckConstraint("octet_length(key) = 32", name="key"),
    comment="The key that signs the cookies of browsers; without its row all are signed out.",
)

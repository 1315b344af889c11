"""The key that signs the cookies of browsers: shared by all processes, made on first use."""

from sqlalchemy import Connection, text


def session_key(conn: Connection, made: bytes) -> bytes:
    """Return the key; if there is none, store `made` as the key."""
    # If two processes make a key at once, both use the one stored first.
    conn.execute(_MAKE, {"key": made})
    return bytes(conn.execute(_FIND).scalar_one())


_MAKE = text("INSERT INTO session_keys (key) VALUES (:key) ON CONFLICT DO NOTHING")
_FIND = text("SELECT key FROM session_keys")

"""The key that signs the cookies of browsers: one for all processes, made when it is first used."""

from sqlalchemy import Connection, text


def session_key(conn: Connection, made: bytes) -> bytes:
    """Return the key; without one, `made` becomes it."""
    # Of two processes that make a key at once the first one's counts, for both.
    conn.execute(_MAKE, {"key": made})
    return bytes(conn.execute(_FIND).scalar_one())


_MAKE = text("INSERT INTO session_keys (key) VALUES (:key) ON CONFLICT DO NOTHING")
_FIND = text("SELECT key FROM session_keys")

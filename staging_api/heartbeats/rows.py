"""The rows of processes: each process writes its own, by the database's clock."""

from dataclasses import asdict

from sqlalchemy import Connection, text

from staging_api.heartbeats.model import DatabaseFacts, ProcessDescription, ProcessLoad, SeenProcess


def beat(
    conn: Connection,
    described: ProcessDescription,
    load: ProcessLoad,
    *,
    threads: int,
    every_seconds: float,
) -> None:
    """Write that this process lives, and delete the rows of those not seen for a day."""
    given = {**asdict(described), **asdict(load), "threads": threads, "every": every_seconds}
    conn.execute(_BEAT, given)
    conn.execute(_SWEEP)


def leave(conn: Connection, name: str) -> None:
    """Delete the row of a process that ends."""
    conn.execute(_LEAVE, {"name": name})


def seen(conn: Connection, *, limit: int | None = None, after: str = "") -> list[SeenProcess]:
    """Return the processes behind the name `after`, by name; all of them without a limit."""
    rows = conn.execute(_SEEN, {"limit": limit, "after": after})
    return [SeenProcess(**row._mapping) for row in rows]  # noqa: SLF001 - its public name


def database_facts(conn: Connection) -> DatabaseFacts:
    """Return the version of the database, and its schema."""
    row = conn.execute(_FACTS).one()
    return DatabaseFacts(row.version, row.schema)


_BEAT = text("""
    INSERT INTO service_processes (name, kind, version, build, schema, address, places, busy,
        waiting, threads, draining, every_seconds, refused)
    VALUES (:name, :kind, :version, :build, :schema, :address, :places, :busy, :waiting, :threads,
        :draining, :every, :refused)
    ON CONFLICT (name) DO UPDATE SET busy = excluded.busy, waiting = excluded.waiting,
        threads = excluded.threads, draining = excluded.draining,
        refused = excluded.refused, seen_at = clock_timestamp()
""")
_SWEEP = text("""
    DELETE FROM service_processes WHERE seen_at < clock_timestamp() - interval '1 day'
""")
_LEAVE = text("DELETE FROM service_processes WHERE name = :name")
_SEEN = text("""
    SELECT name, kind, version, build, schema, address, places, busy, waiting, threads, draining,
        started_at, seen_at, refused,
        seen_at > clock_timestamp() - 3 * every_seconds * interval '1 s' AS alive
    FROM service_processes WHERE name COLLATE "C" > :after ORDER BY name COLLATE "C" LIMIT :limit
""")
# Distributions append their own version, as in 16.4 (Debian 16.4-1).
_FACTS = text("""
    SELECT split_part(current_setting('server_version'), ' ', 1) AS version,
        (SELECT string_agg(version_num, ', ' ORDER BY 1) FROM alembic_version) AS schema
""")

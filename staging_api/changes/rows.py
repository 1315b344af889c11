"""One statement for marks of change: after any write, one of the marks differs.

PostgreSQL counts the rows written to each table. A session reports its counts when it is idle, a
second apart, so the last ones of a burst come up to ten seconds late. Changes for which people wait
are read from the rows themselves: the newest event of stagings, and the live processes.
"""

from collections.abc import Mapping

from sqlalchemy import Connection, text

from staging_api.changes.model import TABLES, Topic


def marks(conn: Connection) -> Mapping[Topic, tuple[str | None, ...]]:
    """Return the marks of each topic, which are only to be compared for equality."""
    found = {row.name: row.mark for row in conn.execute(_MARKS, {"tables": sorted(_ALL)})}
    by_topic = {topic: [found.get(name) for name in sorted(TABLES[topic])] for topic in TABLES}
    by_topic["work"].append(found["newest event"])
    by_topic["alive"].append(found["alive"])
    return {topic: tuple(values) for topic, values in by_topic.items()}


_ALL = frozenset[str]().union(*TABLES.values())
_MARKS = text("""
    SELECT t.name, sum(pg_stat_get_tuples_inserted(r.oid) + pg_stat_get_tuples_updated(r.oid)
        + pg_stat_get_tuples_deleted(r.oid))::text AS mark
    FROM unnest(CAST(:tables AS text[])) AS t (name)
    CROSS JOIN LATERAL (
        SELECT to_regclass(t.name)::oid AS oid
        UNION SELECT relid::oid FROM pg_partition_tree(to_regclass(t.name))) AS r
    GROUP BY t.name
    UNION ALL SELECT 'newest event', max(id)::text FROM staging_events
    UNION ALL SELECT 'alive', string_agg(name, ' ' ORDER BY name) FROM service_processes
        WHERE seen_at > clock_timestamp() - 3 * every_seconds * interval '1 s'
""")

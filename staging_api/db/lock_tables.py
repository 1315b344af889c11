"""Tables of the lock: scopes and their holders, waiters, and the history of grants."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, Interval, Text

from staging_api.db.schema import (
    Domain,
    Time,
    Ulid,
    counter,
    index_where,
    key,
    now,
    numbered,
    required,
    table,
)

lock_scopes = table(
    "lock_scopes",
    key("kind", Text, comment="kind of the lock"),
    key("scope", Domain("lock_scope"), comment="what the lock protects"),
    Column("lock_id", Domain("ulid"), comment="the grant that holds it; null: none"),
    required("fence", BigInteger, comment="of the newest grant; never falls"),
    Column("caller", Text, comment="on whose behalf it is held"),
    Column("holder", Text, comment="the process that holds it"),
    Column("reference_id", Text, comment="the caller's X-Context-Marker"),
    Column("acquired_at", Time, comment="when the current grant was made"),
    Column("expires_at", Time, comment="with a lock_id: end of the lease; without: when vacated"),
    Column("waited_until", Time, comment="until when waiters may be queued; null: none are"),
    CheckConstraint(
        "lock_id IS NULL OR num_nulls(expires_at, acquired_at, caller, holder) = 0", name="held"
    ),
    comment="One row per scope that was locked recently: decides who holds it.",
    # Free space on each page, and no index on a changing column, keep updated rows on their page
    # (HOT updates).
    postgresql_with={
        "fillfactor": 50,
        "autovacuum_vacuum_scale_factor": 0,
        "autovacuum_vacuum_threshold": 500,
        "autovacuum_vacuum_cost_delay": 0,
    },
)

api_locks = table(
    "api_locks",
    key("id", Domain("ulid"), comment="ULID of the grant"),
    required(
        "kind",
        Text,
        comment="what is done under it: archive, images, symbols, publisher, configdocs_update",
    ),
    required(
        "scope",
        Domain("lock_scope"),
        comment="what the lock protects: the URL of an archive, or global",
    ),
    required("caller", Text, comment="the caller that requested it"),
    required("holder", Text, comment="the process that held it"),
    Column("reference_id", Text, comment="the caller's X-Context-Marker"),
    required("fence", BigInteger, comment="rises from grant to grant of a scope"),
    required("acquired_at", Time, comment="when it was granted"),
    required("expires_at", Time, comment="end of the lease, as last renewed"),
    Column("ended_at", Time, comment="null while held"),
    Column(
        "outcome",
        Domain("lock_outcome"),
        comment="released, expired, broken or superseded; null while held",
    ),
    Column("ended_by", Text, comment="a process, a caller or, if superseded, the next grant"),
    Column("reason", Text, comment="why it was broken"),
    counter("renewals", Integer, comment="how often its lease was extended"),
    CheckConstraint(
        "num_nulls(outcome, ended_at) <> 1 AND coalesce(ended_at >= acquired_at, true)"
        " AND (outcome IS DISTINCT FROM 'broken' OR reason IS NOT NULL)",
        name="ended",
    ),
    Index(None, "scope", "id"),
    # The order of the history's pages.
    Index(None, "acquired_at", "id"),
    # For an auditor's question: which leases expired (``db/audit/08``).
    index_where("outcome IN ('expired', 'superseded')", "api_locks_lost_idx", "expires_at"),
    comment="One row per grant: the history of every lock; each grant has exactly one outcome.",
    postgresql_partition_by="RANGE (id)",
)

lock_waiters = table(
    "lock_waiters",
    numbered(name="place", comment="order of arrival"),
    required("id", Ulid, unique=True, comment="id of the grant that it waits for"),
    required("kind", Text, comment="of the lock that it waits for"),
    required("scope", Text, comment="what that lock protects"),
    required("caller", Text, comment="on whose behalf"),
    required("holder", Text, comment="the process that waits"),
    Column("reference_id", Text, comment="the caller's X-Context-Marker"),
    required("ttl", Interval, comment="length of the lease that it requests"),
    required("seen_at", Time, comment="when it last asked for the lock"),
    required("leaves_at", Time, comment="when it stops waiting"),
    Column("waits_since", Time, server_default=now, comment="when it took its place"),
    Index(None, "kind", "scope", "place"),
    comment="Requests that wait for a lock, in order of arrival.",
)

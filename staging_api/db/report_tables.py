"""The tables of reports: processes seen, counts by minute, the use of the store, prunes."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Integer,
    Table,
    Text,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from staging_api.db.schema import Time, Ulid, metadata, now, one_of
from staging_api.vocabulary.reports import COUNTED_KINDS, PROCESS_KINDS, USES

service_processes = Table(
    "service_processes",
    metadata,
    Column("name", Text, primary_key=True, comment="of the process, as the holder of its locks"),
    Column("kind", Text, nullable=False, comment=", ".join(PROCESS_KINDS)),
    Column("version", Text, nullable=False, comment="of the package that it runs"),
    Column("build", Text, nullable=False, comment="digest of the code that it runs"),
    Column("schema", Text, nullable=False, comment="revision of the tables that its code needs"),
    Column("address", Text, comment="where it listens; null: nowhere"),
    Column(
        "places",
        Integer,
        nullable=False,
        comment="requests that run at once; of a worker: stagings",
    ),
    Column("busy", Integer, nullable=False, comment="places that were in use at the newest beat"),
    Column("waiting", Integer, nullable=False, comment="requests that waited at the newest beat"),
    Column("threads", Integer, nullable=False, comment="its threads at the newest beat"),
    Column("draining", Boolean, nullable=False, comment="whether it is about to end"),
    Column("started_at", Time, nullable=False, server_default=now, comment="of its first beat"),
    Column("seen_at", Time, nullable=False, server_default=now, comment="of its newest beat"),
    Column("every_seconds", Double, nullable=False, comment="between two beats"),
    Column(
        "refused",
        Integer,
        nullable=False,
        server_default="0",
        comment="requests refused in the minute before its newest beat, as another held the lock",
    ),
    CheckConstraint(one_of("kind", PROCESS_KINDS), name="kind"),
    CheckConstraint("places >= 0 AND busy >= 0 AND waiting >= 0 AND threads >= 0", name="numbers"),
    CheckConstraint("every_seconds > 0", name="every_seconds"),
    CheckConstraint("refused >= 0", name="refused"),
    comment="Processes of the service that were seen of late; each writes its own row.",
)

staging_minutes = Table(
    "staging_minutes",
    metadata,
    Column(
        "minute",
        Time,
        primary_key=True,
        comment="when it began; of those older than two days, their hour",
    ),
    Column("kind", Text, primary_key=True, comment=", ".join(COUNTED_KINDS)),
    Column("state", Text, primary_key=True, comment="that was entered"),
    Column("count", BigInteger, nullable=False, comment="how often"),
    Column(
        "fetched_bytes", BigInteger, nullable=False, comment="read from sources by what was staged"
    ),
    Column("staged_bytes", BigInteger, nullable=False, comment="size of what was staged"),
    CheckConstraint(one_of("kind", COUNTED_KINDS), name="kind"),
    CheckConstraint("count > 0 AND fetched_bytes >= 0 AND staged_bytes >= 0", name="numbers"),
    comment="Counts of staging_events by minute and new state; made from the events, once each.",
)

staging_counted = Table(
    "staging_counted",
    metadata,
    Column("sole", Boolean, primary_key=True, server_default=true(), comment="true: one row"),
    Column(
        "counted_until", Time, nullable=False, comment="staging_minutes has all events before then"
    ),
    CheckConstraint("sole", name="sole"),
    comment="How far staging_minutes has come.",
)

store_usage = Table(
    "store_usage",
    metadata,
    Column("use", Text, primary_key=True, comment=", ".join(USES)),
    Column("blobs", BigInteger, nullable=False, comment="contents that are there for it"),
    Column("bytes", BigInteger, nullable=False, comment="of these, each counted once"),
    Column("files", BigInteger, nullable=False, comment="files and packs that name them"),
    Column("file_bytes", BigInteger, nullable=False, comment="sum of the sizes of these files"),
    Column("counted_at", Time, nullable=False, server_default=now, comment="when it was counted"),
    CheckConstraint(one_of("use", USES), name="use"),
    comment="What the contents of the store are there for; counted by workers every half hour.",
)

store_largest = Table(
    "store_largest",
    metadata,
    Column("place", Integer, primary_key=True, comment="1: the largest"),
    Column("archive_url", Text, nullable=False, comment="canonical, free of credentials"),
    Column("artifacts", BigInteger, nullable=False, comment="of it that are staged"),
    Column("bytes", BigInteger, nullable=False, comment="sum of the sizes of its files"),
    Column("counted_at", Time, nullable=False, server_default=now, comment="when it was counted"),
    comment="The archives with the largest files, counted with store_usage.",
)

store_prunes = Table(
    "store_prunes",
    metadata,
    Column("id", Ulid, primary_key=True, comment="ULID; the token of its preview"),
    Column("caller", Text, nullable=False, comment="who asked for the preview"),
    Column("made_at", Time, nullable=False, server_default=now, comment="when it was previewed"),
    Column(
        "idle_before",
        Time,
        nullable=False,
        comment="only artifacts that were not read since then are evicted",
    ),
    Column(
        "keep_bytes", BigInteger, nullable=False, comment="to which size the store was to shrink"
    ),
    Column("artifact_ids", ARRAY(Text), nullable=False, comment="artifacts of the preview"),
    Column("frees_bytes", BigInteger, nullable=False, comment="that evicting all of them frees"),
    Column("reason", Text, comment="why it was done; null: only previewed"),
    Column("begun_by", Text, comment="who let it be done; null: only previewed"),
    Column("begun_at", Time, comment="when it was begun; null: only previewed"),
    Column(
        "ended_at", Time, comment="when it was done; null: not begun, runs, or its process died"
    ),
    Column("evicted", BigInteger, comment="number of artifacts that were evicted"),
    Column("freed_bytes", BigInteger, comment="by which the store became smaller"),
    CheckConstraint(
        "num_nulls(begun_at, begun_by, reason) IN (0, 3)"
        " AND (ended_at IS NULL OR begun_at IS NOT NULL)"
        " AND num_nulls(ended_at, evicted, freed_bytes) IN (0, 3)",
        name="steps",
    ),
    comment="Prunes that operators previewed and let be done by the API: who, what and why.",
)

"""Tables of reports: processes, counts by minute, the use of the store, prunes."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Double, Integer, Text, true
from sqlalchemy.dialects.postgresql import ARRAY

from staging_api.db.schema import Time, Ulid, counter, key, now, required, table, words
from staging_api.vocabulary.reports import COUNTED_KINDS, PROCESS_KINDS, USES

service_processes = table(
    "service_processes",
    key("name", Text, comment="of the process, as the holder of its locks"),
    *words("kind", PROCESS_KINDS),
    required("version", Text, comment="of the package that it runs"),
    required("build", Text, comment="digest of the code that it runs"),
    required("schema", Text, comment="revision of the tables that its code needs"),
    Column("address", Text, comment="where it listens; null: nowhere"),
    required("places", Integer, comment="requests that run at once; of a worker: stagings"),
    required("busy", Integer, comment="places that were in use at the newest beat"),
    required("waiting", Integer, comment="requests that waited at the newest beat"),
    required("threads", Integer, comment="its threads at the newest beat"),
    required("draining", Boolean, comment="whether it is about to end"),
    required("started_at", Time, server_default=now, comment="of its first beat"),
    required("seen_at", Time, server_default=now, comment="of its newest beat"),
    required("every_seconds", Double, comment="between two beats"),
    counter(
        "refused",
        Integer,
        comment="requests refused in the minute before its newest beat, as another held the lock",
    ),
    CheckConstraint("places >= 0 AND busy >= 0 AND waiting >= 0 AND threads >= 0", name="numbers"),
    CheckConstraint("every_seconds > 0", name="every_seconds"),
    CheckConstraint("refused >= 0", name="refused"),
    comment="Processes of the service that were seen of late; each writes its own row.",
)

staging_minutes = table(
    "staging_minutes",
    key("minute", Time, comment="when it began; of those older than two days, their hour"),
    *words("kind", COUNTED_KINDS, key),
    key("state", Text, comment="that was entered"),
    required("count", BigInteger, comment="how often"),
    required("fetched_bytes", BigInteger, comment="read from sources by what was staged"),
    required("staged_bytes", BigInteger, comment="size of what was staged"),
    CheckConstraint("count > 0 AND fetched_bytes >= 0 AND staged_bytes >= 0", name="numbers"),
    comment="Counts of staging_events by minute and new state; made from the events, once each.",
)

staging_counted = table(
    "staging_counted",
    key("sole", Boolean, server_default=true(), comment="true: one row"),
    required("counted_until", Time, comment="staging_minutes has all events before then"),
    CheckConstraint("sole", name="sole"),
    comment="How far staging_minutes has come.",
)

store_usage = table(
    "store_usage",
    *words("use", USES, key),
    required("blobs", BigInteger, comment="contents that are there for it"),
    required("bytes", BigInteger, comment="of these, each counted once"),
    required("files", BigInteger, comment="files and packs that name them"),
    required("file_bytes", BigInteger, comment="sum of the sizes of these files"),
    required("counted_at", Time, server_default=now, comment="when it was counted"),
    CheckConstraint("least(blobs, bytes, files, file_bytes) >= 0", name="numbers"),
    comment="What the contents of the store are there for; counted by workers every half hour.",
)

store_largest = table(
    "store_largest",
    key("place", Integer, comment="1: the largest"),
    required("archive_url", Text, comment="canonical, free of credentials"),
    required("artifacts", BigInteger, comment="of it that are staged"),
    required("bytes", BigInteger, comment="sum of the sizes of its files"),
    required("counted_at", Time, server_default=now, comment="when it was counted"),
    CheckConstraint("place >= 1 AND artifacts >= 1 AND bytes >= 0", name="numbers"),
    comment="The archives with the largest files, counted with store_usage.",
)

store_prunes = table(
    "store_prunes",
    key("id", Ulid, comment="ULID; the token of its preview"),
    required("caller", Text, comment="who asked for the preview"),
    required("made_at", Time, server_default=now, comment="when it was previewed"),
    required(
        "idle_before", Time, comment="only artifacts that were not read since then are evicted"
    ),
    required("keep_bytes", BigInteger, comment="to which size the store was to shrink"),
    required("artifact_ids", ARRAY(Text), comment="artifacts of the preview"),
    required("frees_bytes", BigInteger, comment="that evicting all of them frees"),
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
    # No check on freed_bytes: it is negative if others store more meanwhile than the prune frees.
    CheckConstraint("least(keep_bytes, frees_bytes, evicted) >= 0", name="numbers"),
    comment="Prunes that operators previewed and let be done by the API: who, what and why.",
)

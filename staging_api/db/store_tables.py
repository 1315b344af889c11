"""The rows by which pods share the work on sources and on the store."""

from sqlalchemy import BigInteger, Column, ForeignKey, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY

from staging_api.db.schema import Time, metadata

upload_polls = Table(
    "upload_polls",
    metadata,
    Column("archive_url", ForeignKey("archives.archive_url"), primary_key=True),
    Column("next_poll_at", Time, nullable=False, comment="nobody looks before; then one does"),
    Column("polls", BigInteger, nullable=False, server_default="1", comment="looks so far"),
    Column("polled_at", Time, comment="when the newest look ended"),
    Column("names", ARRAY(Text), comment="objects that it saw"),
    comment="Archives whose upload is waited for: one look for all who wait, on all pods.",
)

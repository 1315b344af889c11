"""The topics of pages, each with the tables whose rows it shows."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

#: ``alive`` is the set of live processes; ``processes`` all that they report of themselves.
Topic = Literal["work", "locks", "alive", "processes", "apt", "documents", "store"]

TABLES: Mapping[Topic, frozenset[str]] = MappingProxyType(
    {
        "work": frozenset(
            {
                *("archives", "stagings", "staged_artifacts", "staging_events", "staging_minutes"),
                *("manifests", "growing_files"),
            }
        ),
        "locks": frozenset({"lock_scopes", "api_locks", "lock_waiters"}),
        # No row is written when a process dies: `rows.marks` reads which processes are alive.
        "alive": frozenset(),
        "processes": frozenset({"service_processes"}),
        "apt": frozenset(
            {
                *("apt_archives", "suites", "components", "architectures", "distributions"),
                *("dists_generations", "suite_holds", "generation_holds", "uploads", "hook_runs"),
                *("package_publications", "publisher_runs", "run_phases", "lasting_releases"),
            }
        ),
        "documents": frozenset(
            {
                *("document_collections", "document_revisions", "document_collection_versions"),
                *("document_commits", "document_tags", "document_events"),
            }
        ),
        "store": frozenset(
            {
                *("blobs", "packs", "store_usage", "store_largest", "store_prunes", "store_ledger"),
                *("store_reservations", "upload_reservations", "lost_contents"),
            }
        ),
    }
)
TOPICS: frozenset[str] = frozenset(TABLES)

"""The use cases of APT archives, their suites and packages: create, change, list and delete.

They do not need the lock of the publisher: a change marks the suites concerned as dirty, and
clients see it after the next run.

What if the process dies? Every method that writes is one transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from staging_api.db.engine import Database
from staging_api.errors import Conflict, Invalid, NotFound
from staging_api.paging import Page, page_of
from staging_api.publishing.model import AptArchive, ArchiveAttention, PackagePublication
from staging_api.publishing.rows import apt_archives, attention, decisions, packages

_DAY_SECONDS = 24 * 3600
#: Defaults for archives and suites, which suit all kinds of clients.
_ARCHIVE_DEFAULTS: Mapping[str, Any] = {
    "forms": ["gz", "xz"],
    "retention_seconds": _DAY_SECONDS,
    "quarantine_seconds": _DAY_SECONDS,
}
#: Archives are published once a day or more often, so an accepted package that waits longer is not
#: on its way.
_UNPUBLISHED_SECONDS = _DAY_SECONDS
#: Older runs that failed belong to archives that are no longer published.
_RUN_SECONDS = 7 * _DAY_SECONDS
_SUITE_DEFAULTS: Mapping[str, Any] = {"components": ["main"], "architectures": ["amd64"]}

Values = Mapping[str, Any]


@dataclass(frozen=True)
class AptArchiveService:
    """The use cases of archives, suites and packages.

    Values are columns of `apt_archives` or `suites` by name, already checked by the API; a suite
    also has ``components`` and ``architectures``.
    """

    database: Database

    def create(self, values: Values, suites: Sequence[Values], caller: str) -> AptArchive:
        """Create an archive with its suites.

        Raises:
            Conflict: there is an archive with this name, or two suites share a name or alias.
            Invalid: the values contradict each other.
        """
        name = values["name"]
        with self.database.begin() as conn:
            apt_archives.add_apt_archive(conn, {**_ARCHIVE_DEFAULTS, **values})
            apt_archive = apt_archives.find_apt_archive(conn, name)
            for suite in suites:
                apt_archives.add_suite(conn, apt_archive, _suite(suite))
            decisions.add_decision(
                conn, apt_archive.id, caller, "create", **values, suites=list(suites)
            )
            return apt_archives.find_apt_archive(conn, name)

    def all(self) -> list[AptArchive]:
        """Return all archives, sorted by name."""
        with self.database.connect() as conn:
            names = apt_archives.apt_archive_names(conn)
            return [apt_archives.find_apt_archive(conn, name) for name in names]

    def needing_attention(self) -> list[ArchiveAttention]:
        """Return what needs a person, by archive."""
        with self.database.connect() as conn:
            return attention.archives_needing_attention(
                conn, run_seconds=_RUN_SECONDS, unpublished_seconds=_UNPUBLISHED_SECONDS
            )

    def find(self, name: str) -> AptArchive:
        """Return one archive.

        Raises:
            NotFound: there is no such archive.
        """
        with self.database.connect() as conn:
            return apt_archives.find_apt_archive(conn, name)

    def change(self, name: str, values: Values, caller: str) -> AptArchive:
        """Change the settings of an archive.

        Raises:
            NotFound: there is no such archive.
            Invalid: a value is null that may not be, or the values contradict each other.
        """
        _refuse_null(values, allowed=("valid_for_seconds",))
        with self.database.begin() as conn:
            apt_archive = apt_archives.find_apt_archive(conn, name)
            apt_archives.change_apt_archive(conn, apt_archive, values)
            decisions.add_decision(conn, apt_archive.id, caller, "change", **values)
            return apt_archives.find_apt_archive(conn, name)

    def add_suite(self, name: str, values: Values, caller: str) -> AptArchive:
        """Add a suite to an archive.

        Raises:
            NotFound: there is no such archive.
            Conflict: another suite has this name, or one of its aliases.
        """
        with self.database.begin() as conn:
            apt_archive = apt_archives.find_apt_archive(conn, name)
            apt_archives.add_suite(conn, apt_archive, _suite(values))
            decisions.add_decision(conn, apt_archive.id, caller, "add-suite", suite=values)
            return apt_archives.find_apt_archive(conn, name)

    def change_suite(self, name: str, suite_name: str, values: Values, caller: str) -> AptArchive:
        """Change a suite.

        Raises:
            NotFound: there is no such archive, or it has no such suite.
            Conflict: another suite has one of its names.
            Invalid: a value is null.
        """
        _refuse_null(values)
        with self.database.begin() as conn:
            apt_archive = apt_archives.find_apt_archive(conn, name)
            suite = apt_archive.suite(suite_name)
            if suite is None:
                raise NotFound(f"{name} has no suite {suite_name}")
            apt_archives.change_suite(conn, suite, values)
            decisions.add_decision(
                conn, apt_archive.id, caller, "change-suite", suite={"name": suite_name, **values}
            )
            return apt_archives.find_apt_archive(conn, name)

    def packages(self, name: str, *, limit: int, **filters: Any) -> Page[PackagePublication]:
        """List packages, current and past, oldest first.

        Args:
            name: name of the archive.
            limit: number of packages on a page.
            filters: ``after``, ``suite``, ``state`` and ``package`` of
                `packages.list_package_publications`.

        Raises:
            NotFound: there is no such archive.
        """
        with self.database.connect() as conn:
            archive_id = apt_archives.find_apt_archive(conn, name).id
            return page_of(
                lambda count: packages.list_package_publications(
                    conn, archive_id, limit=count, **filters
                ),
                limit,
            )

    def delete_package(
        self, name: str, publication_id: int, caller: str, reason: str
    ) -> PackagePublication:
        """Delete a package from its suite.

        Raises:
            NotFound: there is no such archive, or it has no such package.
            Conflict: the package has already left its suite, or the suite is immutable.
        """
        with self.database.begin() as conn:
            archive_id = apt_archives.find_apt_archive(conn, name).id
            suite_id = packages.delete_package_publication(
                conn, archive_id, publication_id, caller, reason
            )
            # The deletion returns only whether it deleted anything; this row tells why it did not.
            found = packages.list_package_publications(
                conn, archive_id, limit=1, publication_id=publication_id
            )
            if not found:
                raise NotFound(f"{name} has no package {publication_id}")
            if suite_id is None:
                raise Conflict(
                    f"package {publication_id} is {found[0].state}, or its suite immutable"
                )
            apt_archives.mark_dirty(conn, [suite_id])
            return found[0]


def _suite(values: Values) -> dict[str, Any]:
    return {"codename": values["name"], **_SUITE_DEFAULTS, **values}


def _refuse_null(values: Values, allowed: Sequence[str] = ()) -> None:
    for name, value in values.items():
        if value is None and name not in allowed:
            raise Invalid.field(name, "may not be null")

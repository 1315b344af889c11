"""APT archives and suites, uploads, package publications, generations and distributions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from staging_api.vocabulary.publishing import AttentionKind


@dataclass(frozen=True)
class SuiteHold:
    """A suite that shows the packages of an older generation until the hold is lifted.

    Attributes:
        generation_id: the generation whose packages the suite shows.
        content_number: number of the generation that first listed these packages.
    """

    suite: str
    generation_id: str
    content_number: int
    held_at: datetime
    held_by: str
    reason: str


@dataclass(frozen=True)
class Suite:
    """A suite of an archive.

    Attributes:
        name: name of its folder below ``dists``.
        aliases: further names under which the same files are served.
        immutable: whether new packages are refused.
        auto_accept: whether uploads are accepted without a decision.
        dirty_since: time of the first change that the newest generation does not show.
        rebuild_since: time of a change after which all of its packages must be examined again.
        held: the hold on older packages, if there is one.
    """

    id: int
    name: str
    codename: str
    aliases: tuple[str, ...]
    description: str
    components: tuple[str, ...]
    architectures: tuple[str, ...]
    immutable: bool
    auto_accept: bool
    not_automatic: bool
    but_automatic_upgrades: bool
    dirty_since: datetime | None
    rebuild_since: datetime | None
    held: SuiteHold | None = None


@dataclass(frozen=True)
class AptArchive:
    """An APT archive published by this service.

    Attributes:
        forms: names of the forms in which index files are offered.
        publish_by_hash: whether files are served by hash.
        advertise_by_hash: whether a Release says that files are served by hash, so that apt does
            so.
        valid_for_seconds: validity of a Release for clients; None: unlimited.
        retention_seconds: how long the files of an old generation are kept.
        quarantine_seconds: how long the files of a superseded package are kept.
        seen_at: time at which the row was read, by the database's clock.
    """

    id: int
    name: str
    origin: str
    label: str
    forms: tuple[str, ...]
    publish_by_hash: bool
    advertise_by_hash: bool
    valid_for_seconds: int | None
    retention_seconds: int
    quarantine_seconds: int
    created_at: datetime
    seen_at: datetime
    suites: tuple[Suite, ...]

    def suite(self, name: str) -> Suite | None:
        """Return the suite with this name, or None."""
        return next((suite for suite in self.suites if suite.name == name), None)


@dataclass(frozen=True)
class Generation:
    """One state of an archive's ``dists``.

    Attributes:
        number: sequence number within the archive.
        content_number: number of the generation whose packages it lists: another number than its
            own if all suites were held at that generation.
    """

    id: str
    archive: str
    number: int
    content_number: int
    state: str
    run_id: str | None
    created_at: datetime
    live_at: datetime | None
    retired_at: datetime | None
    pinned_at: datetime | None
    pinned_by: str | None


@dataclass(frozen=True)
class Distribution:
    """The generation that clients of an archive see.

    Attributes:
        head: the newest generation without a held suite.
        held: the suites that show older packages now.
        older: by suite whose packages the live generation took from an older generation, the number
            of the older one. The hold of the suite may have been lifted since.
    """

    archive: str
    live: Generation
    head: Generation
    changed_at: datetime
    changed_by: str
    held: tuple[SuiteHold, ...] = ()
    older: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Upload:
    """An uploaded package.

    Attributes:
        name: name of the .deb, .udeb or .dsc, as it was sent.
        state: ``new``, ``unapproved``, ``accepted``, ``done`` or ``rejected``.
        error_message: why the package was rejected, or is not done yet.
        note: information for the sender of a package that was not rejected.
    """

    id: str
    archive: str
    suite: str
    component: str
    name: str
    state: str
    package: str | None
    version: str | None
    architecture: str | None
    sha256: str | None
    caller: str
    reference_id: str | None
    created_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    done_at: datetime | None
    attempts: int
    error_code: str | None
    error_message: str | None
    note: str | None


@dataclass(frozen=True)
class PackagePublication:
    """A package in a suite.

    Attributes:
        listed: whether the index files that clients see now list it. The state is ahead of them:
            from its phase of a run until the generation goes live, and while the suite is held.
    """

    id: int
    suite: str
    component: str
    package: str
    version: str
    architecture: str
    state: str
    listed: bool
    path: str
    sha256: str
    size_bytes: int
    created_at: datetime
    published_at: datetime | None
    ended_at: datetime | None
    superseded_by: int | None
    scheduled_deletion_at: datetime | None
    removed_at: datetime | None
    error_message: str | None


@dataclass(frozen=True)
class ArchiveAttention:
    """Something about an archive that needs a person.

    Attributes:
        kind: ``run``: runs did not succeed, and no later one did their work; ``decision``: uploads
            to accept or reject; ``unpublished``: packages accepted long ago; ``validity``: Releases
            with less than a quarter of their validity left.
        count: number of runs, uploads, packages or Releases.
        since: since when, if it is known.
        run_id: the newest of the runs.
    """

    archive: str
    kind: AttentionKind
    count: int
    since: datetime | None
    run_id: str | None

"""APT archives and suites, uploads, package publications, generations and distributions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class SuiteHold:
    """A suite shows the packages of an older generation until the hold is lifted.

    Attributes:
        generation_id: the generation whose packages it shows.
        content_number: the number of the generation that these packages were first shown by.
    """

    suite: str
    generation_id: str
    content_number: int
    held_at: datetime
    held_by: str
    reason: str


@dataclass(frozen=True)
class Suite:
    """One suite of an archive.

    Attributes:
        name: the folder below ``dists``.
        aliases: further names under which the same files are served.
        immutable: whether it takes no package any more.
        auto_accept: whether uploads are accepted without a decision.
        dirty_since: when something changed that the newest generation does not show.
        rebuild_since: when something changed by which all of its packages have to be looked at.
        held: which older packages it shows, if it was taken back to them.
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
    """One archive that we publish.

    Attributes:
        forms: words for the forms in which index files are offered.
        publish_by_hash: whether files can be had by hash.
        advertise_by_hash: whether a Release says so, so that apt fetches by hash.
        valid_for_seconds: how long clients may believe a Release; None for ever.
        retention_seconds: how long the files of an old generation stay.
        quarantine_seconds: how long the files of a superseded package stay.
        seen_at: when it was like this, by the database's clock.
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
        """The suite of this name, if there is one."""
        return next((suite for suite in self.suites if suite.name == name), None)


@dataclass(frozen=True)
class Generation:
    """One state of an archive's dists.

    Attributes:
        number: counts up within an archive.
        content_number: the number of the generation whose packages it lists: not its own if
            all suites were held at those.
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
    """What clients of an archive see.

    Attributes:
        head: the newest generation in which no suite was held.
        held: the suites that show older packages now.
        older: by suite whose packages the live generation took from an older one, the number of
            the latter. The suite may have been lifted since.
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
    """One package that was sent.

    Attributes:
        name: of the .deb, .udeb or .dsc, as it was sent.
        state: ``new``, ``unapproved``, ``accepted``, ``done`` or ``rejected``.
        error_message: why it was rejected, or is not done yet.
        note: what the sender should know although it was taken.
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
    """One package in a suite."""

    id: int
    suite: str
    component: str
    package: str
    version: str
    architecture: str
    state: str
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

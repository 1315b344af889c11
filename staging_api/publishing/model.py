"""The words of the publisher: archives and suites, uploads, publications, runs, generations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from staging_api.debian.forms import Form
from staging_api.vocabulary.publishing import Purpose

#: The word for a form in API and tables, where "" would say too little.
FORM_OF = {
    "plain": Form.PLAIN,
    "gz": Form.GZ,
    "xz": Form.XZ,
    "zst": Form.ZST,
}
WORD_OF = {form: word for word, form in FORM_OF.items()}


@dataclass(frozen=True)
class SuiteHold:
    """A suite shows the packages of an older generation until somebody lifts that.

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
        auto_accept: whether uploads wait for nobody's decision.
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
        advertise_by_hash: whether a Release tells clients so.
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
class Options:
    """How thorough a run is, and where.

    Attributes:
        careful: all of the following.
        careful_publishing: look at the files of what is published already, too.
        careful_domination: look at every package, not only at those that changed.
        careful_indices: make the index files from all packages, not from what changed.
        careful_release: write new Releases even if nothing changed.
        suites: only these; none for all.
    """

    careful: bool = False
    careful_publishing: bool = False
    careful_domination: bool = False
    careful_indices: bool = False
    careful_release: bool = False
    suites: tuple[str, ...] = ()

    def wants(self, part: Literal["publishing", "domination", "indices", "release"]) -> bool:
        """Whether this part is to be thorough."""
        return self.careful or bool(getattr(self, f"careful_{part}"))


@dataclass(frozen=True)
class BegunPhase:
    """A phase that this process has begun.

    Attributes:
        total: of how many items it is; None if that is not known.
        began_at: by `time.monotonic`.
    """

    name: str
    total: int | None
    began_at: float


@dataclass(frozen=True)
class NewPhases:
    """Phases that a run has begun since it last told of any.

    Attributes:
        position: of the first of them among all of the run's.
        now: by the clock of their `began_at`.
    """

    position: int
    phases: Sequence[BegunPhase]
    now: float


@dataclass(frozen=True)
class Phase:
    """One phase of a run."""

    phase: str
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class HookRun:
    """One of the operator's programs that a run started."""

    stage: str
    name: str
    exit_code: int | None
    timed_out: bool
    seconds: float
    output: str


@dataclass(frozen=True)
class PublisherRun:
    """One operation of the publisher.

    Attributes:
        state: ``running``, ``succeeded``, ``published_hook_failed``, ``failed`` or ``abandoned``.
        purpose: why it ran, if it is none of the three operations; None: it is.
        phase: the newest one; `items_done` of `items_total` tell how far it is.
        counts: how many of what: accepted, published, superseded, index files and so on.
        notes: what went otherwise than one could wish, and was tolerated.
        generation_id: what it made go live last, if anything.
    """

    id: str
    operation: str
    archive: str
    options: Mapping[str, Any]
    state: str
    phase: str | None
    items_done: int
    items_total: int | None
    caller: str
    holder: str
    reference_id: str | None
    lock_id: str
    started_at: datetime
    finished_at: datetime | None
    counts: Mapping[str, int]
    notes: tuple[str, ...]
    error_code: str | None
    error_message: str | None
    generation_id: str | None
    purpose: Purpose | None = None
    phases: tuple[Phase, ...] = ()
    hooks: tuple[HookRun, ...] = ()


@dataclass(frozen=True)
class Generation:
    """One state of an archive's dists.

    Attributes:
        number: counts up; what is newer for clients.
        content_number: the number of the generation whose packages it lists: another than its
            own if all suites were held at those.
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
    """

    archive: str
    live: Generation
    head: Generation
    changed_at: datetime
    changed_by: str
    held: tuple[SuiteHold, ...] = ()


@dataclass(frozen=True)
class Upload:
    """One package that somebody sent.

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


@dataclass(frozen=True)
class IndexFile:
    """One index file in one form, as a generation has it.

    Attributes:
        path: below the suite, without the ending of the form.
        form: the word for its form.
        served: whether it can be fetched, or is only listed in Release.
        layout: sha256 of the hashes of its blocks.
        blocks: sha256 of each block, of a file that was just made.
    """

    suite_id: int
    path: str
    form: str
    served: bool
    layout: str
    size_bytes: int
    sha256: str
    blocks: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def file_path(self) -> str:
        """Its path below the suite."""
        return self.path + FORM_OF[self.form]


@dataclass(frozen=True)
class ReleaseText:
    """One of the three files that say what a suite has.

    Attributes:
        signed_by: fingerprint of the key; empty for none, None if it is not known.
        modified_at: its Last-Modified, in whole seconds; later than that of the one before.
    """

    suite_id: int
    name: str
    content: bytes = field(repr=False)
    dated_at: datetime
    valid_until: datetime | None
    sha256: str
    signed_by: str | None
    modified_at: datetime | None


@dataclass(frozen=True)
class Served:
    """A file below ``/archive``, and where its bytes are.

    Attributes:
        name: tells the media type.
        modified_at: when it came to be; None where that would not tell it from what came before.
        content: the bytes themselves, of a Release.
        blocks: sha256 of each block, of an index file of `form`.
        lasting: whether the same address will never have other bytes.
    """

    name: str
    sha256: str
    size_bytes: int
    modified_at: datetime | None
    content: bytes | None = field(default=None, repr=False)
    blocks: tuple[str, ...] | None = field(default=None, repr=False)
    form: str = "plain"
    lasting: bool = False


@dataclass(frozen=True)
class ArchiveFile:
    """A file of an archive's pool or dists, as a copy of the archive has it."""

    path: str
    sha256: str
    size_bytes: int

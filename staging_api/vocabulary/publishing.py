"""Words for publishing: states of uploads, package publications, runs and generations."""

from typing import Literal, get_args

UploadState = Literal["new", "unapproved", "accepted", "done", "rejected"]
UPLOAD_STATES: tuple[UploadState, ...] = get_args(UploadState)
#: States of an upload that is neither accepted nor rejected.
OPEN_UPLOAD_STATES: tuple[UploadState, ...] = ("new", "unapproved")

#: States of a package in a suite.
PublicationState = Literal["pending", "published", "superseded", "deleted"]
PUBLICATION_STATES: tuple[PublicationState, ...] = get_args(PublicationState)
#: States of a package that the suite no longer has.
ENDED_PUBLICATION_STATES: tuple[PublicationState, ...] = ("superseded", "deleted")
#: States of a package that the suite has, or will have.
CURRENT_PUBLICATION_STATES: tuple[PublicationState, ...] = ("pending", "published")

Operation = Literal["process-accepted", "publish-distro", "publish-ftpmaster"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
#: A run that is none of the three operations; it counts as a `publish-distro`.
Purpose = Literal["go-back", "renewal"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
RunState = Literal["running", "succeeded", "published_hook_failed", "failed", "abandoned"]
RUN_STATES: tuple[RunState, ...] = get_args(RunState)
#: When an operator's program runs: before or after the work of the run.
HookStage = Literal["before", "after"]
HOOK_STAGES: tuple[HookStage, ...] = get_args(HookStage)

GenerationState = Literal["building", "live", "retired", "reaped", "abandoned"]
GENERATION_STATES: tuple[GenerationState, ...] = get_args(GenerationState)
#: States of a generation that clients see or have seen.
SHOWN_GENERATION_STATES: tuple[GenerationState, ...] = ("live", "retired", "reaped")
#: States of a generation that is no longer live.
PAST_GENERATION_STATES: tuple[GenerationState, ...] = ("retired", "reaped")
#: States of a generation whose files exist, so that an archive may go back to it.
KEPT_GENERATION_STATES: tuple[GenerationState, ...] = ("live", "retired")

#: Decisions about an archive that are no publisher runs, as going back and holding are.
ArchiveDecision = Literal[
    "create", "change", "add-suite", "change-suite", "accept", "reject", "pin", "unpin", "lift"
]
ARCHIVE_DECISIONS: tuple[ArchiveDecision, ...] = get_args(ArchiveDecision)

#: Compressions of an index file.
IndexForm = Literal["plain", "gz", "xz", "zst"]
INDEX_FORMS: tuple[IndexForm, ...] = get_args(IndexForm)

#: Kinds of things about an archive that need a person.
AttentionKind = Literal["run", "decision", "unpublished", "validity"]

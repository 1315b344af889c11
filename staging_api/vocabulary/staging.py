"""Words for staging: states of stagings and artifacts, phases, kinds of events."""

from collections.abc import Mapping
from typing import Literal, get_args

StagingState = Literal["queued", "running", "foreground_staged", "staged", "failed", "cancelled"]
STAGING_STATES: tuple[StagingState, ...] = get_args(StagingState)
#: States that a staging does not leave again.
FINAL_STATES: tuple[StagingState, ...] = ("staged", "failed", "cancelled")
#: Final states of a staging that did not bring all requested artifacts.
ENDED_EARLY_STATES: tuple[StagingState, ...] = ("failed", "cancelled")
#: The progress for which a caller waits.
Until = Literal["staged", "foreground_staged"]
#: The states of a staging with at least this progress.
REACHED: Mapping[Until, tuple[StagingState, ...]] = {
    "foreground_staged": ("foreground_staged", "staged"),
    "staged": ("staged",),
}

ArtifactState = Literal["pending", "staging", "staged", "missing", "failed", "evicted"]
ARTIFACT_STATES: tuple[ArtifactState, ...] = get_args(ArtifactState)
#: States of an artifact on which nothing is left to do, and of which no bytes are to come.
SETTLED_STATES: tuple[ArtifactState, ...] = ("staged", "missing")
#: States of an artifact that a staging brings, or will.
TO_DO_STATES: tuple[ArtifactState, ...] = ("pending", "staging")
#: A request that stages waits for the first phase, a worker brings the second.
Phase = Literal["foreground", "background"]
PHASES: tuple[Phase, ...] = get_args(Phase)

#: Why the files of an artifact are no longer served.
EvictReason = Literal["asked", "space", "lost", "corrupt"]
EVICT_REASONS: tuple[EvictReason, ...] = get_args(EvictReason)
#: Reasons that say that the bytes were damaged.
DAMAGE_REASONS: tuple[EvictReason, ...] = ("lost", "corrupt")

EventKind = Literal["staging", "artifact", "cancel_requested", "pin"]
EVENT_KINDS: tuple[EventKind, ...] = get_args(EventKind)

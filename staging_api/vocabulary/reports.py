"""Words for reports: kinds of processes and of counted events, and uses of the store."""

from typing import Literal, get_args

#: The task of a process.
ProcessKind = Literal["api", "worker"]
PROCESS_KINDS: tuple[ProcessKind, ...] = get_args(ProcessKind)

#: Events that are counted by their new state.
CountedKind = Literal["staging", "artifact"]
COUNTED_KINDS: tuple[CountedKind, ...] = get_args(CountedKind)

#: Length of the intervals of counts.
Interval = Literal["minute", "hour", "day"]

#: Why a content is in the store; the first that applies.
Use = Literal["packages", "pinned", "read_lately", "idle", "unnamed"]
USES: tuple[Use, ...] = get_args(Use)

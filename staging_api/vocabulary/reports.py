"""The kinds of processes, of counted events, and what a content is in the store for."""

from typing import Literal, get_args

#: What a process of the service does.
ProcessKind = Literal["api", "worker"]
PROCESS_KINDS: tuple[ProcessKind, ...] = get_args(ProcessKind)

#: Events that are counted by the state that they lead to.
CountedKind = Literal["staging", "artifact"]
COUNTED_KINDS: tuple[CountedKind, ...] = get_args(CountedKind)

#: Length of the intervals of counts.
Interval = Literal["minute", "hour", "day"]

#: What a content is in the store for; the first that applies.
Use = Literal["packages", "pinned", "read_lately", "idle", "unnamed"]
USES: tuple[Use, ...] = get_args(Use)

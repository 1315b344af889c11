"""Progress of a staging: bars on a terminal, lines elsewhere, nothing with --json."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from staging_api.cli.output import harmless, say
from staging_api.client import StagedArtifact, Staging
from staging_api.errors import StagingApiError
from staging_api.sizes import size
from staging_api.vocabulary.staging import SETTLED_STATES

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_SECONDS_BETWEEN_LINES = 5.0


class Display:
    """Shows progress on standard error; this base class shows nothing."""

    def show(self, staging: Staging) -> None:
        """Show a staging as it is now."""

    def note(self, text: str) -> None:
        """Show a line that stays on the screen."""


@contextmanager
def display(as_json: bool) -> Iterator[Display]:
    """Yield the display that suits standard error."""
    if as_json:
        yield Display()
    elif sys.stderr.isatty():
        with bars() as shown:
            yield shown
    else:
        yield ProgressLines()


@contextmanager
def interruptible(find: Callable[[], str | None]) -> Iterator[None]:
    """At Ctrl-C in the block, name the staging that continues.

    Args:
        find: returns the staging's id, None if there is none yet.

    Raises:
        KeyboardInterrupt: its text names the staging.
    """
    try:
        yield
    except KeyboardInterrupt:
        staging_id = find()
        if staging_id is None:
            raise
        raise KeyboardInterrupt(
            f"stopped waiting; staging {staging_id} goes on:"
            f" `staging-api wait {staging_id}` shows it, `staging-api cancel {staging_id}` ends it"
        ) from None


class WaitNotes:
    """Callback that prints which holder we wait for, once per holder: a lock is renewed often."""

    def __init__(self, shown: Display) -> None:
        self._shown = shown
        self._known: set[object] = set()

    def __call__(self, error: StagingApiError, pause_seconds: float) -> None:
        """Note a wait, and print a line if the holder is new."""
        lock = error.extra.get("lock")
        who = lock.get("id") if isinstance(lock, dict) else error.code
        if who not in self._known:
            self._known.add(who)
            self._shown.note(_reason(error, pause_seconds))


class ProgressLines(Display):
    """Prints a line when an artifact's state changes, and occasionally one for the bytes."""

    def __init__(self) -> None:
        self._shown: dict[str, str] = {}
        self._named = ""
        self._last = time.monotonic()

    def show(self, staging: Staging) -> None:
        """Print the changes since the last call; first the id, so that Ctrl-C loses nothing."""
        if self._named != staging.id:
            self._named = staging.id
            self.note(f"staging {staging.id}")
        # A missing archive fails all of its artifacts with the same long sentence.
        changed: dict[str, list[str]] = {}
        for artifact in staging.artifacts:
            text = _said(staging, artifact)
            if self._shown.get(artifact.id) != text:
                self._shown[artifact.id] = text
                changed.setdefault(text, []).append(artifact.name)
        for text, names in changed.items():
            self.note(f"{', '.join(names)}: {text}")
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES and not staging.final:
            self.note(_overall(staging))

    def note(self, text: str) -> None:
        """Print the text."""
        self._last = time.monotonic()
        say(text, err=True)


@contextmanager
def bars() -> Iterator[Display]:
    """Yield a display with one bar per artifact during the block."""
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.TextColumn("{task.fields[state]}", markup=False),
        # Without a total the bar would pulse, as if work on the artifact had begun.
        progress.BarColumn(pulse_style="bar.back"),
        progress.TextColumn("{task.fields[bytes]}", markup=False),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as shown:
        yield ProgressBars(shown)


class ProgressBars(Display):
    """A progress bar for each artifact, by the artifact's id."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._named = ""

    def show(self, staging: Staging) -> None:
        """Move the bars; first print the staging's id, so that Ctrl-C loses nothing."""
        if self._named != staging.id:
            self._named = staging.id
            self.note(f"staging {staging.id}")
        for artifact in staging.artifacts:
            if artifact.id not in self._tasks:
                self._tasks[artifact.id] = self._progress.add_task(
                    harmless(artifact.name), state="", bytes="", total=None
                )
            settled = artifact.state in SETTLED_STATES
            self._progress.update(
                self._tasks[artifact.id],
                completed=artifact.bytes_done,
                total=artifact.bytes_done if settled else artifact.bytes_total,
                state=harmless(waits_for(staging, artifact) or artifact.state),
                bytes=_bytes(artifact),
            )

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        # Markup is off: a name with a word in brackets would lose it, or change colours.
        self._progress.console.print(harmless(text), markup=False, highlight=False)


def waits_for(staging: Staging, artifact: StagedArtifact) -> str:
    """Return what an artifact waits for, empty if nothing."""
    if artifact.state != "pending":
        return ""
    if artifact.name in (staging.document.get("waiting_for") or ()):
        return "waits for its upload"
    return "waits for a worker" if staging.state == "queued" else "waits for its turn"


def _bytes(artifact: StagedArtifact) -> str:
    """Return the bytes done, and the total if it is known; empty before the start."""
    if artifact.state in SETTLED_STATES:
        return size(artifact.size_bytes)
    if not artifact.bytes_done:
        return ""
    of = f" of {size(artifact.bytes_total)}" if artifact.bytes_total else ""
    return f"{size(artifact.bytes_done)}{of}"


def _said(staging: Staging, artifact: StagedArtifact) -> str:
    if artifact.error is not None:
        return f"{artifact.state}: {artifact.error.message}"
    if text := waits_for(staging, artifact):
        return text
    return f"{artifact.state} {size(artifact.size_bytes)}".rstrip()


def _overall(staging: Staging) -> str:
    progress = staging.progress
    of = f" of {size(progress.bytes_total)}" if progress.bytes_total else ""
    rate = f", {size(progress.bytes_per_second)}/s" if progress.bytes_per_second else ""
    eta = f", about {progress.eta_seconds:.0f} s left" if progress.eta_seconds else ""
    return f"{size(progress.bytes_done)}{of}{rate}{eta}"


def _reason(error: StagingApiError, pause_seconds: float) -> str:
    again = f"trying again in {pause_seconds:.0f} s"
    lock = error.extra.get("lock")
    if not isinstance(lock, dict):
        return f"{error.title}: {error.detail}; {again}"
    if lock.get("id") is None:
        return f"the lock on {lock.get('scope')} cools down, as its holder was lost; {again}"
    until = _clock(lock.get("expires_at"))
    return (
        f"waiting for {lock.get('holder')}, which holds the {lock.get('kind')} lock on"
        f" {lock.get('scope')} until {until} unless it renews it; {again}"
    )


def _clock(time: object) -> str:
    try:
        return datetime.fromisoformat(str(time)).astimezone().strftime("%H:%M:%S")
    except (ValueError, OverflowError):  # also for the year 1 in another time zone
        return "an unknown time"

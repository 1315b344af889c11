"""Turn the links of an archive into further names of the content that they lead to.

The rule:

- a hard link stands after its target: it becomes a second name of it at once, and is refused if
  that target was not selected, since its content has gone by;
- a symbolic link may point forwards, so all are settled at the end: to a selected file, it
  becomes a second name of it; to a folder, each selected file below gets a second name; to
  nothing that was selected, it is left out, as a reader could not follow it;
- either kind is refused if it is absolute or leads out of the archive, whatever it points at.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from staging_api.errors import ArchiveUnsafe
from staging_api.formats.members import Guard, safe_name, shown
from staging_api.formats.model import Keep, Member


@dataclass
class Links:
    """The files that came out of one archive so far, and the links that wait for their end."""

    guard: Guard
    keep: Keep
    _files: dict[str, Member] = field(default_factory=dict)
    _waiting: dict[str, str] = field(default_factory=dict)

    def came_out(self, name: str, member: Member) -> None:
        """Note a file, under its name in the archive."""
        self._files[name] = member

    def hard(self, name: str, target: str, wanted: Callable[[str], bool]) -> None:
        """Settle a hard link at once.

        Raises:
            ArchiveUnsafe: it leads out, or to what was not selected.
        """
        if not wanted(name):
            return
        found = self._files.get(safe_name(target))
        if found is None:
            raise ArchiveUnsafe(f"{shown(name)} is a hard link to a file that is not unpacked")
        self._second_name(name, found)

    def symbolic(self, name: str, target: str) -> None:
        """Note a symbolic link for the end.

        Raises:
            ArchiveUnsafe: it leads out.
        """
        self._waiting[name] = inside(name, target)

    def settle(self) -> None:
        """Give the second names that the symbolic links stand for.

        Raises:
            ArchiveUnsafe: one clashes with another path.
            LimitExceeded: they are too many.
        """
        for name, target in self._waiting.items():
            for alias, member in list(self._reached(name, self._end_of(target))):
                self.guard.look_at(alias)
                self._second_name(alias, member)

    def _end_of(self, target: str) -> str:
        """Follow links that point at links; one that bites its own tail leads nowhere."""
        for _ in range(len(self._waiting)):
            if target not in self._waiting:
                return target
            target = self._waiting[target]
        return target

    def _reached(self, name: str, target: str) -> Iterator[tuple[str, Member]]:
        if target in self._files:
            yield name, self._files[target]
            return
        top = target + "/" if target else ""
        for file, member in self._files.items():
            if file.startswith(top) and not member.same_as:
                yield f"{name}/{file.removeprefix(top)}", member

    def _second_name(self, name: str, found: Member) -> None:
        path = self.guard.target(name)
        if path is not None:
            self.keep(Member(path, found.executable, 0, found.same_as or found.path), ())
            self._files[name] = Member(path, found.executable, 0, found.same_as or found.path)


def inside(name: str, target: str) -> str:
    """The archive path that a symbolic link leads to.

    Raises:
        ArchiveUnsafe: it is absolute or leads out.
    """
    steps = name.split("/")[:-1]
    for step in target.split("/"):
        if step == ".." and steps:
            steps.pop()
        elif step == ".." or target.startswith("/") or "\0" in step:
            raise ArchiveUnsafe(f"the link {shown(name)} leads out of the archive")
        elif step not in ("", "."):
            steps.append(step)
    return "/".join(steps)

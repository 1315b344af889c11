"""Turn the links in a container file into further names of the content they lead to.

- A hard link comes after its target: it becomes a second name of it at once, and is refused if the
  target was not selected, since its content has passed.
- A symbolic link may point forwards, so all are resolved at the end: a link to a selected file
  becomes a second name of it; a link to a folder gives each selected file below a second name; a
  link to anything not selected is left out, as no reader could follow it.
- Either kind is refused if it is absolute or leads out of the container file.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from staging_api.errors import ArchiveUnsafe
from staging_api.formats.members import MemberChecker, safe_name, shown
from staging_api.formats.model import Keep, Member


@dataclass
class Links:
    """The files unpacked so far from one container file, and the links to be resolved."""

    checker: MemberChecker
    keep: Keep
    _files: dict[str, Member] = field(default_factory=dict)
    _waiting: dict[str, str] = field(default_factory=dict)

    def add_file(self, name: str, member: Member) -> None:
        """Record an unpacked file, under its name in the container file."""
        self._files[name] = member

    def hard(self, name: str, target: str, wanted: Callable[[str], bool]) -> None:
        """Resolve a hard link at once.

        Raises:
            ArchiveUnsafe: it leads out, or to a file that was not selected.
        """
        if not wanted(name):
            return
        found = self._files.get(safe_name(target))
        if found is None:
            raise ArchiveUnsafe(f"{shown(name)} is a hard link to a file that is not unpacked")
        self._second_name(name, found)

    def symbolic(self, name: str, target: str) -> None:
        """Record a symbolic link for `settle`.

        Raises:
            ArchiveUnsafe: it leads out.
        """
        self._waiting[name] = inside(name, target)

    def settle(self) -> None:
        """Resolve the symbolic links into second names.

        Raises:
            ArchiveUnsafe: a name clashes with another path.
            LimitExceeded: there are too many.
        """
        for name, target in self._waiting.items():
            for alias, member in list(self._reached(name, self._end_of(target))):
                self.checker.check_name(alias)
                self._second_name(alias, member)

    def _end_of(self, target: str) -> str:
        """Follow links to links; a cycle leads nowhere."""
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
        path = self.checker.target(name)
        if path is not None:
            self.keep(Member(path, found.executable, 0, found.same_as or found.path), ())
            self._files[name] = Member(path, found.executable, 0, found.same_as or found.path)


def inside(name: str, target: str) -> str:
    """Return the path in the container file that a symbolic link leads to.

    Raises:
        ArchiveUnsafe: it is absolute or leads out.
    """
    steps = name.split("/")[:-1]
    for step in target.split("/"):
        if step == ".." and steps:
            steps.pop()
        elif step == ".." or target.startswith("/") or "\0" in step:
            raise ArchiveUnsafe(f"the link {shown(name)} leads out of the container file")
        elif step not in ("", "."):
            steps.append(step)
    return "/".join(steps)

"""Convert the links in a container file to further names of their targets' content.

- A hard link comes after its target, and becomes a second name of the target at once. A hard link
  to a symbolic link is another symbolic link with the same text.
- A symbolic link may point forwards, so all are resolved at the end, step by step as a kernel does:
  ``..`` after a link means the folder above the link's target. A link to a file becomes a second
  name of the file; a link to a folder gives each selected file below the folder a second name.
- A link to a file that was not selected is a name of that content, too. The stream has already
  passed that file, so `Links.settle` returns the files that must be read once more.
- An absolute, dangling or circular link is left out and noted: no reader could follow it.
- A selected link that leads out of the container file, in any number of steps, is refused; so is a
  selected member below such a link, because a program that follows the link would write outside.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain

from staging_api.errors import ArchiveUnsafe
from staging_api.formats.members import MemberChecker, folders_above
from staging_api.formats.model import Keep, Member
from staging_api.formats.names import folded, shown
from staging_api.name_table import NameTable

#: Maximum number of links to follow in a row, as in Linux.
_MAX_STEPS = 40
#: Maximum length of a symbolic link's text in most file systems.
_MAX_TARGET = 4096
_DANGLING = "are links to nothing that is unpacked, and are left out"


_EXECUTABLE, _SPARSE, _SECOND = 1, 2, 4
_FLAGS = [bytes([flags]) for flags in range(8)]


@dataclass
class Links:
    """The files unpacked so far from one container file, and the links to be resolved.

    Attributes:
        target_of: returns the text of a symbolic link that is not yet recorded, by its name; None:
            there is no such link.
    """

    checker: MemberChecker
    keep: Keep
    target_of: Callable[[str], str | None] = lambda _name: None
    _hard: dict[str, str] = field(default_factory=dict)
    _symbolic: dict[str, str] = field(default_factory=dict)
    _lacking: dict[str, list[str]] = field(default_factory=dict)
    _above: frozenset[str] | None = None

    def __post_init__(self) -> None:
        self._files, self._passed, self._folders, self._further = (
            NameTable(self.checker.scratch) for _ in range(4)
        )

    def add_file(self, name: str, member: Member) -> None:
        """Record an unpacked file, under its name in the container file."""
        self._files[name] = _noted(member)
        self._replaced(name)

    def add_folder(self, name: str) -> None:
        """Record a folder that has an entry of its own."""
        self._folders[name] = b""

    def pass_by(self, name: str) -> None:
        """Record a file that is not selected."""
        self._passed[name] = b""
        self._replaced(name)

    def hard(self, name: str, target: str) -> None:
        """Resolve a hard link whose target has already passed.

        Raises:
            ArchiveUnsafe: the link is selected, and leads out.
        """
        # For tar, an absolute target is relative to the folder where the container file is
        # unpacked.
        found = folded(target)
        found = self._hard.get(found, found)
        if found == name:
            # A file packed twice appears as a link to itself; otherwise the link has no target.
            if not self._is_there(name) and self.checker.selects(name):
                self.checker.notes.add(_DANGLING, name)
            return
        self._replaced(name)
        if found in self._symbolic:
            self.symbolic(name, self._symbolic[found])
        elif not self.checker.selects(name):
            self._hard[name] = found
        elif ".." in found.split("/"):
            raise _leads_out(name)
        elif (file := self._file(found)) is not None:
            self._second_name(name, file, instead=True)
        elif found in self._passed:
            self._lacking.setdefault(found, []).append(name)
        else:
            self._drop(name)
            self.checker.notes.add(_DANGLING, name)

    def symbolic(self, name: str, target: str) -> None:
        """Record a symbolic link for `settle`."""
        self._drop(name)
        self._symbolic[name] = target

    def settle(self) -> dict[str, list[str]]:
        """Resolve the symbolic links into second names.

        Returns:
            The files that were not selected, but are targets of links, each with the names of its
            links; call `bring` with each of them.

        Raises:
            ArchiveUnsafe: a selected link leads out, or a name clashes with another path.
            LimitExceeded: there are too many names.
        """
        self._check_above()
        selected = [name for name in self._symbolic if self.checker.selects(name)]
        # Files first: the new names are then among the files below a folder.
        folders = [(name, end) for name in selected if (end := self._named(name)) is not None]
        for name, end in folders:
            self._names_below(name, end)
        return self._lacking

    def bring(self, name: str, member: Callable[[str], Member], content: Iterator[bytes]) -> None:
        """Store a file that was not selected under the names of the links to it.

        Args:
            name: name of the file, as returned by `settle`.
            member: returns the description of the file for a path.
            content: the bytes of the file.
        """
        first, *others = self._lacking[name]
        path = self.checker.target(first)
        if path is not None:
            self.keep(member(path), content)
            self._files[first] = _noted(member(path))
            for other in others:
                self._second_name(other, member(path))

    def _drop(self, name: str) -> None:
        """Remove a file whose name now belongs to a link."""
        if self._files.pop(name) is not None:
            self.keep(Member(self.checker.path_of(name), gone=True), ())
        self._passed.pop(name)

    def _is_there(self, name: str) -> bool:
        return name in self._symbolic or name in self._passed or self._file(name) is not None

    def _replaced(self, name: str) -> None:
        """Forget a link whose name now belongs to another member."""
        if self._symbolic:
            self._symbolic.pop(name, None)
        if self._hard:
            self._hard.pop(name, None)

    def _named(self, name: str) -> str | None:
        """Give a link to a file its content; for a link to a folder, return the folder."""
        try:
            end = self._end_of(name)
        except _LeadsOutError:
            raise _leads_out(name) from None
        if end is None:
            self.checker.notes.add(_DANGLING, name)
        elif (found := self._file(end)) is not None:
            self._second_name(name, found)
        elif end in self._passed:
            self._lacking.setdefault(end, []).append(name)
        else:
            return end
        return None

    def _end_of(self, name: str) -> str | None:
        """Return the end of a name after following links; None: an absolute path, or a circle.

        Raises:
            _LeadsOutError: the name leads out of the container file.
        """
        reached: list[str] = []
        ahead, steps, dangles = name.split("/")[::-1], 0, False
        while ahead:
            step = ahead.pop()
            if step == ".." and not reached:
                raise _LeadsOutError
            if step == "..":
                # A kernel does not step up from a folder that does not exist: the link is dangling.
                dangles = dangles or not self._is_folder("/".join(reached))
                reached.pop()
                continue
            reached.append(step)
            target = self._target("/".join(reached))
            if target is not None:
                reached.pop()
                steps += 1
                if steps > _MAX_STEPS or not _can_be_followed(target):
                    return None
                ahead += [part for part in target.split("/")[::-1] if part not in ("", ".")]
        end = "/".join(reached)
        return None if dangles else self._hard.get(end, end)

    def _is_folder(self, name: str) -> bool:
        if self._above is None:
            tables = (self._files, self._passed, self._folders)
            named = chain.from_iterable(table.items() for table in tables)
            names = chain((each for each, _ in named), self._symbolic, self._hard)
            parents = {each.rpartition("/")[0] for each in names}
            above = chain.from_iterable(map(folders_above, parents))
            self._above = frozenset(above) | parents
        return name in self._above or name in self._folders

    def _target(self, name: str) -> str | None:
        target = self._symbolic.get(name)
        return self.target_of(name) if target is None else target

    def _check_above(self) -> None:
        """Refuse members below a link that leads out: a program could write through the link."""
        for link in filter(self._goes_out, self._symbolic):
            first, _ = next(self._files.items(f"{link}/"), ("", b""))
            if first.startswith(f"{link}/"):
                raise ArchiveUnsafe(
                    f"{shown(first)} lies behind the link {shown(link)}, which leads out"
                    " of the container file"
                )

    def _goes_out(self, link: str) -> bool:
        try:
            end = self._end_of(link)
        except _LeadsOutError:
            return True
        return end is None and self._symbolic[link].startswith("/")

    def _names_below(self, name: str, end: str) -> None:
        """Give the files below a folder second names below a link to the folder.

        The names are recorded in a separate table, so that another link to a folder does not give
        them a third name.
        """
        top = f"{end}/" if end else ""
        found = False
        for file, noted in self._files.items(top):
            if not file.startswith(top):
                break
            found = True
            alias = f"{name}/{file.removeprefix(top)}"
            try:
                self._second_name(alias, self._member(file, noted), self._further)
            except ArchiveUnsafe:  # another link gave it the name of a folder, or the reverse
                self.checker.notes.add("are further names of files that clash", alias)
        if not found:
            self.checker.notes.add(_DANGLING, name)

    def _file(self, name: str) -> Member | None:
        """Return the file with this name, if it was unpacked."""
        noted = self._files.get(name)
        return None if noted is None else self._member(name, noted)

    def _member(self, name: str, noted: bytes) -> Member:
        """Decode the record of a file."""
        flags, same_as = noted[0], noted[1:].decode("utf-8", "surrogatepass")
        return Member(
            self.checker.path_of(name),
            executable=bool(flags & _EXECUTABLE),
            sparse=bool(flags & _SPARSE),
            same_as=same_as if flags & _SECOND else None,
        )

    def _second_name(
        self, name: str, found: Member, table: NameTable | None = None, *, instead: bool = False
    ) -> None:
        self.checker.count()
        own = None if instead else self._files.get(name)
        if own is not None and not own[0] & _SECOND:
            return  # a file of its own has this name
        path = self.checker.target(name)
        if path is not None:
            again = replace(found, path=path, size_bytes=0, same_as=found.path)
            self.keep(again, ())
            (self._files if table is None else table)[name] = _noted(again)


class _LeadsOutError(Exception):
    """A link leads out of the container file; an error only if the link is selected."""


def _can_be_followed(target: str) -> bool:
    """Return whether the text of a symbolic link can lead to a path inside a container file."""
    return 0 < len(target) <= _MAX_TARGET and not target.startswith("/")


def _noted(member: Member) -> bytes:
    """Encode the facts kept for each file in few bytes, as there may be a million files."""
    flags = (
        _EXECUTABLE * member.executable
        | _SPARSE * member.sparse
        | _SECOND * (member.same_as is not None)
    )
    return _FLAGS[flags] + (member.same_as or "").encode("utf-8", "surrogatepass")


def _leads_out(name: str) -> ArchiveUnsafe:
    return ArchiveUnsafe(f"the link {shown(name)} leads out of the container file")

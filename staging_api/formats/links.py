"""Turn the links in a container file into further names of the content they lead to.

- A hard link comes after its target: it becomes a second name of it at once. One to a symbolic link
  is another symbolic link of the same text.
- A symbolic link may point forwards, so all are resolved at the end, step by step as a kernel does:
  ``..`` behind a link means the folder above what the link leads to. A link to a file becomes a
  second name of it; a link to a folder gives each selected file below a second name.
- A link to a file that was not selected is a name of that content, too. It has passed, so
  `Links.settle` returns what must be read once more.
- What is absolute, dangling or circular is left out and noted: no reader could follow it.
- A selected link that leads out of the container file is refused, in however many steps; and so is
  a selected member behind such a link, as a program that follows it would write outside.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain

from staging_api.errors import ArchiveUnsafe
from staging_api.formats.members import MemberChecker, folders_above
from staging_api.formats.model import Keep, Member
from staging_api.formats.names import folded, shown

#: As many links one after another as Linux follows.
_MAX_STEPS = 40
#: The longest text of a symbolic link, in most file systems.
_MAX_TARGET = 4096
_DANGLING = "are links to nothing that is unpacked, and are left out"


class _LeadsOutError(Exception):
    """A link leads out of the container file; an error only if it is selected."""


@dataclass
class Links:
    """The files unpacked so far from one container file, and the links to be resolved.

    Attributes:
        target_of: returns the text of a symbolic link, by its name, if it is not in here already;
            None: there is no such link.
    """

    checker: MemberChecker
    keep: Keep
    target_of: Callable[[str], str | None] = lambda _name: None
    _files: dict[str, Member] = field(default_factory=dict)
    _passed: set[str] = field(default_factory=set)
    _hard: dict[str, str] = field(default_factory=dict)
    _symbolic: dict[str, str] = field(default_factory=dict)
    _lacking: dict[str, list[str]] = field(default_factory=dict)
    _folders: set[str] = field(default_factory=set)
    _above: frozenset[str] | None = None

    def add_file(self, name: str, member: Member) -> None:
        """Record an unpacked file, under its name in the container file."""
        self._files[name] = member
        self._replaced(name)

    def add_folder(self, name: str) -> None:
        """Record a folder that has an entry of its own."""
        self._folders.add(name)

    def pass_by(self, name: str) -> None:
        """Record a file that is not selected."""
        self._passed.add(name)
        self._replaced(name)

    def hard(self, name: str, target: str) -> None:
        """Resolve a hard link, whose target has passed.

        Raises:
            ArchiveUnsafe: it is selected, and leads out.
        """
        # An absolute one is relative to where the container file is unpacked, for tar.
        found = folded(target)
        found = self._hard.get(found, found)
        if found == name:
            return
        self._replaced(name)
        if found in self._symbolic:
            self.symbolic(name, self._symbolic[found])
        elif not self.checker.selects(name):
            self._hard[name] = found
        elif ".." in found.split("/"):
            raise _leads_out(name)
        elif found in self._files:
            self._second_name(name, self._files[found], instead=True)
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
            The files that were not selected and are content of links, each with its names; call
            `bring` with each of them.

        Raises:
            ArchiveUnsafe: a selected link leads out, or a name clashes with another path.
            LimitExceeded: there are too many names.
        """
        self._check_above(self._files)
        selected = [name for name in self._symbolic if self.checker.selects(name)]
        # First the names of files, which then are among the files below a folder.
        folders = [(name, end) for name in selected if (end := self._named(name)) is not None]
        names = sorted(self._files)
        known = dict(self._files)
        for name, end in folders:
            self._names_below(name, end, names, known)
        return self._lacking

    def bring(self, name: str, member: Callable[[str], Member], content: Iterator[bytes]) -> None:
        """Keep a file that was not selected under the names of the links to it.

        Args:
            name: its own name, which `settle` returned.
            member: returns how it is kept at a path.
            content: its bytes.
        """
        first, *others = self._lacking[name]
        path = self.checker.target(first)
        if path is not None:
            self.keep(member(path), content)
            self._files[first] = member(path)
            for other in others:
                self._second_name(other, self._files[first])

    def _drop(self, name: str) -> None:
        """Take back a file whose name a link has now."""
        file = self._files.pop(name, None)
        if file is not None:
            self.keep(Member(file.path, gone=True), ())
        self._passed.discard(name)

    def _replaced(self, name: str) -> None:
        """Forget a link whose name another member has now."""
        if self._symbolic:
            self._symbolic.pop(name, None)
        if self._hard:
            self._hard.pop(name, None)

    def _named(self, name: str) -> str | None:
        """Give a link to a file its content; return the folder that it leads to instead, if any."""
        try:
            end = self._end_of(name)
        except _LeadsOutError:
            raise _leads_out(name) from None
        if end is None:
            self.checker.notes.add(_DANGLING, name)
        elif (found := self._files.get(end)) is not None:
            self._second_name(name, found)
        elif end in self._passed:
            self._lacking.setdefault(end, []).append(name)
        else:
            return end
        return None

    def _end_of(self, name: str) -> str | None:
        """Return where a name leads; None: to an absolute path, or in a circle.

        Raises:
            _LeadsOutError: out of the container file.
        """
        reached: list[str] = []
        ahead, steps, dangles = name.split("/")[::-1], 0, False
        while ahead:
            step = ahead.pop()
            if step == ".." and not reached:
                raise _LeadsOutError
            if step == "..":
                # Nothing is above what is not there: a kernel ends here.
                dangles = dangles or not self._is_folder("/".join(reached))
                reached.pop()
                continue
            reached.append(step)
            target = self._target("/".join(reached))
            if target is not None:
                reached.pop()
                steps += 1
                if steps > _MAX_STEPS or not 0 < len(target) <= _MAX_TARGET or target[0] == "/":
                    return None
                ahead += [part for part in target.split("/")[::-1] if part not in ("", ".")]
        end = "/".join(reached)
        return None if dangles else self._hard.get(end, end)

    def _is_folder(self, name: str) -> bool:
        if self._above is None:
            names = chain(self._files, self._passed, self._symbolic, self._hard, self._folders)
            parents = {each.rpartition("/")[0] for each in names}
            above = chain.from_iterable(map(folders_above, parents))
            self._above = frozenset(above) | parents | self._folders
        return name in self._above

    def _target(self, name: str) -> str | None:
        target = self._symbolic.get(name)
        return self.target_of(name) if target is None else target

    def _check_above(self, names: dict[str, Member]) -> None:
        """Refuse members behind a link that leads out: a program could write through it."""
        outwards = [link for link in self._symbolic if self._goes_out(link)]
        ordered = sorted(names) if outwards else []
        for link in outwards:
            first = bisect_left(ordered, f"{link}/")
            if first < len(ordered) and ordered[first].startswith(f"{link}/"):
                raise ArchiveUnsafe(
                    f"{shown(ordered[first])} lies behind the link {shown(link)}, which leads out"
                    " of the container file"
                )

    def _goes_out(self, link: str) -> bool:
        try:
            end = self._end_of(link)
        except _LeadsOutError:
            return True
        return end is None and self._symbolic[link].startswith("/")

    def _names_below(self, name: str, end: str, names: list[str], known: dict[str, Member]) -> None:
        """Give the files below a folder second names below a link to it."""
        top = f"{end}/" if end else ""
        found = False
        for number in range(bisect_left(names, top), len(names)):
            file = names[number]
            if not file.startswith(top):
                break
            found = True
            alias = f"{name}/{file.removeprefix(top)}"
            try:
                self._second_name(alias, known[file])
            except ArchiveUnsafe:  # another link gave it the name of a folder, or the reverse
                self.checker.notes.add("are further names of files that clash", alias)
        if not found:
            self.checker.notes.add(_DANGLING, name)

    def _second_name(self, name: str, found: Member, *, instead: bool = False) -> None:
        self.checker.count()
        if not instead and name in self._files and not self._files[name].same_as:
            return  # a file of its own has this name
        path = self.checker.target(name)
        if path is not None:
            again = replace(found, path=path, size_bytes=0, same_as=found.path)
            self.keep(again, ())
            self._files[name] = again


def _leads_out(name: str) -> ArchiveUnsafe:
    return ArchiveUnsafe(f"the link {shown(name)} leads out of the container file")

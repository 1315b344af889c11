"""Pages of the documentation as their reader uses them: blocks in order, typed into one terminal.

A block of the language `console` is commands behind `$ ` with the output that has to come, in which
`...` stands for anything. Of `python` it is a program. A second word behind any other language that
has a dot is the name of a file, which the reader saves. A comment `<!-- here: COMMAND -->` is what
the reader has already, such as a package of his own; it is not shown.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_END = "--end of a command--"
_BLOCK = re.compile(
    r"^ *<!-- here: (?P<here>.*?) -->$|^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^ *```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, or a comment, whose language is `here`.

    Attributes:
        language: the first word of its fence.
        file: the name under which the reader saves it; empty if there is none.
    """

    language: str
    text: str
    file: str = ""

    def commands(self) -> Iterator[tuple[str, str]]:
        """Each command of a console block, and what the page shows as its output."""
        for entry in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            lines = entry.splitlines()
            last = next(n for n, line in enumerate(lines) if not line.endswith("\\"))
            yield "\n".join(lines[: last + 1]), "\n".join(lines[last + 1 :])


def blocks(page: Path) -> list[Block]:
    """Every block of a page, in its order."""
    return [_block(found) for found in _BLOCK.finditer(page.read_text())]


def to_run(page: Path) -> int:
    """How many blocks of a page are for a terminal or an interpreter."""
    return sum(block.language in {"console", "python"} for block in blocks(page))


def pattern(shown: str) -> str:
    """Output of a page as a regular expression: any white space, and anything for `...`."""
    parts = [r"\s*".join(map(re.escape, part.split())) for part in shown.split("...")]
    return ".*?".join(parts)


class Terminal:
    """A shell that runs one command after another, as a reader's terminal does."""

    def __init__(self, folder: Path, log: IO[bytes], **environment: str) -> None:
        self._shell = subprocess.Popen(
            ["bash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=folder,
            env={**os.environ, **environment},
            text=True,
            start_new_session=True,
        )

    def run(self, command: str) -> str:
        """What a command prints; it must succeed."""
        assert self._shell.stdin
        assert self._shell.stdout
        self._shell.stdin.write(f"{command}\nstatus=$?; echo; echo '{_END}' $status\n")
        self._shell.stdin.flush()
        printed: list[str] = []
        for line in self._shell.stdout:
            if line.startswith(_END):
                assert line.split()[-1] == "0", f"$ {command}\n{''.join(printed)}"
                return "".join(printed)
            printed.append(line)
        raise AssertionError(f"the shell has ended at $ {command}\n{''.join(printed)}")

    def close(self) -> None:
        """End what runs in it, as closing its window does."""
        assert self._shell.stdin
        assert self._shell.stdout
        self._shell.stdin.write("trap '' TERM; kill $(jobs -p) 2>/dev/null; wait\n")
        self._shell.stdin.close()
        self._shell.stdout.close()
        self._shell.wait(60)


@dataclass
class Reader:
    """Who follows a page on this machine.

    Attributes:
        places: what the page says, to what it is here.
        folder: where the terminal is.
        log: what programs write to standard error.
    """

    places: dict[str, str]
    folder: Path
    log: Path
    terminal: Terminal

    def here(self, text: str) -> str:
        """A text of the page, with the places of this machine."""
        for there, here in self.places.items():
            text = text.replace(there, here)
        return text

    def follow(self, block: Block) -> None:
        """Run each command of a console block, and compare what it prints."""
        for command, shown in block.commands():
            self.type(command, shown)

    def type(self, command: str, shown: str) -> None:
        """Run one command, and compare what it prints."""
        printed = self.terminal.run(self.here(command))
        assert re.search(pattern(self.here(shown)), printed, re.DOTALL), (
            f"$ {command}\n{printed}\nis not what the page shows:\n{shown}\n" + self.log.read_text()
        )


def _block(found: "re.Match[str]") -> Block:
    if found["here"] is not None:
        return Block("here", found["here"])
    language, _, name = found["info"].partition(" ")
    indent = found["indent"]
    text = "".join(line.removeprefix(indent) for line in found["text"].splitlines(keepends=True))
    return Block(language, text, name if "." in name else "")

"""Pages of the documentation, followed as by a reader: blocks in order, in one terminal.

A block of the language `console` has commands after `$ `, and their expected output, in which
`...` matches anything. A `python` block is a program. With any other language, a second word that
has a dot is the name of a file, which the reader saves. A comment `<!-- here: COMMAND -->` creates
what the reader already has, such as a package; it is not displayed.
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
    """A fenced block of a page, or a comment, whose language is then `here`.

    Attributes:
        language: the first word of its fence.
        file: the name under which the reader saves the block; empty if there is none.
    """

    language: str
    text: str
    file: str = ""

    def commands(self) -> Iterator[tuple[str, str]]:
        """Yield each command of a console block, with the output that the page shows."""
        for entry in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            lines = entry.splitlines()
            last = next(n for n, line in enumerate(lines) if not line.endswith("\\"))
            yield "\n".join(lines[: last + 1]), "\n".join(lines[last + 1 :])


def blocks(page: Path) -> list[Block]:
    """Return every block of a page, in order."""
    return [_block(found) for found in _BLOCK.finditer(page.read_text())]


def to_run(page: Path) -> int:
    """Return the number of blocks of a page for a terminal or an interpreter."""
    return sum(block.language in {"console", "python"} for block in blocks(page))


def pattern(shown: str) -> str:
    """Convert the output in a page to a regular expression: any white space, anything for `...`."""
    parts = [r"\s*".join(map(re.escape, part.split())) for part in shown.split("...")]
    return ".*?".join(parts)


class Terminal:
    """A shell that runs one command after another, like a reader's terminal."""

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
        """Return the output of a command, which must succeed."""
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
        """End all programs in the terminal, as closing its window does."""
        assert self._shell.stdin
        assert self._shell.stdout
        self._shell.stdin.write("trap '' TERM; kill $(jobs -p) 2>/dev/null; wait\n")
        self._shell.stdin.close()
        self._shell.stdout.close()
        self._shell.wait(60)


@dataclass
class Reader:
    """Simulated reader who follows a page on this machine.

    Attributes:
        places: replacements for texts of the page, such as addresses.
        folder: working directory of the terminal.
        log: file for the standard error of programs.
    """

    places: dict[str, str]
    folder: Path
    log: Path
    terminal: Terminal

    def here(self, text: str) -> str:
        """Return a text of the page with the replacements for this machine."""
        for there, here in self.places.items():
            text = text.replace(there, here)
        return text

    def follow(self, block: Block) -> None:
        """Run each command of a console block, and compare its output."""
        for command, shown in block.commands():
            self.type(command, shown)

    def type(self, command: str, shown: str) -> None:
        """Run one command, and compare its output."""
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

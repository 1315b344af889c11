"""The version before the newest migration, kept in an archive: ``python -m tests.before_newest``.

A checkout need not have its history, and a test that needs it would not run just there. So what is
needed of it lies beside this file, as git packed it, with the id of its commit.
"""

import lzma
import subprocess
import sys
import tarfile
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_ARCHIVE = Path(__file__).with_suffix(".tar.xz")
_NEEDED = ("staging_api", "migrations")
_HOW_TO_RENEW = "run `make before`, where the history is (`git fetch --unshallow`), and commit it"


def unpacked(folder: Path) -> Path:
    """A checkout of that version in `folder`, as far as a pod needs it; gives `folder`."""
    with tarfile.open(_ARCHIVE) as files:
        files.extractall(folder, filter="data")
    ours, theirs = _migrations(_ROOT), _migrations(folder)
    assert theirs == ours[:-1], f"{_ARCHIVE.name} is not of the version before: {_HOW_TO_RENEW}"
    return folder


def main() -> None:
    """Write the archive anew, after a migration was added."""
    try:
        packed = _git("archive", _commit_with(_migrations(_ROOT)[:-1]), *_NEEDED)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error.stderr.decode()}{_HOW_TO_RENEW}")
    _ARCHIVE.write_bytes(lzma.compress(packed, preset=9))


def _migrations(checkout: Path) -> list[str]:
    return sorted(path.name for path in (checkout / "migrations/versions").glob("[0-9]*.py"))


def _commit_with(migrations: list[str]) -> str:
    """The newest commit that has these migrations and no other."""
    for commit in _git("rev-list", "HEAD").decode().split():
        listed = _git("ls-tree", "--name-only", f"{commit}:migrations/versions").decode().split()
        if sorted(name for name in listed if name[0].isdigit()) == migrations:
            return commit
    sys.exit(f"no commit has only the migrations up to {migrations[-1]}: {_HOW_TO_RENEW}")


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=_ROOT, check=True, capture_output=True).stdout


if __name__ == "__main__":
    main()

"""The version before the newest migration, from the history of this checkout."""

import io
import subprocess
import tarfile
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_NEEDED = ("staging_api", "migrations")


def unpacked(folder: Path, last: str | None = None) -> Path:
    """Check out that version in `folder`, as far as a pod needs it; return `folder`.

    Args:
        folder: target of the checkout.
        last: number of its newest migration; None: all migrations but the newest of this version.
    """
    migrations = _migrations()[:-1]
    if last is not None:
        migrations = [name for name in migrations if name[: len(last)] <= last]
    packed = _git("archive", _commit_with(migrations), *_NEEDED)
    with tarfile.open(fileobj=io.BytesIO(packed)) as files:
        files.extractall(folder, filter="data")
    return folder


def _migrations() -> list[str]:
    return sorted(path.name for path in (_ROOT / "migrations/versions").glob("[0-9]*.py"))


def _commit_with(migrations: list[str]) -> str:
    """Return the newest commit that has exactly these migrations."""
    for commit in _git("rev-list", "HEAD").decode().split():
        listed = _git("ls-tree", "--name-only", f"{commit}:migrations/versions").decode().split()
        if sorted(name for name in listed if name[0].isdigit()) == migrations:
            return commit
    raise AssertionError(
        f"this checkout has no commit that ends with {migrations[-1]}: git fetch --unshallow"
    )


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=_ROOT, check=True, capture_output=True).stdout

"""The steps of a Dockerfile, run in a copy of a clean root file system: no container engine needed.

Knows what ours uses: FROM ... AS, COPY, COPY --from, RUN, ENV, WORKDIR, ARG, USER; the rest says
something of the image and is kept as it is.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_NETWORK_FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf")
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass
class Stage:
    """One stage, as far as it was built."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    told: dict[str, str] = field(default_factory=dict)

    def run(self, command: list[str], **env: str) -> "subprocess.CompletedProcess[str]":
        """Run a command inside, as the stage's user."""
        user, _, group = self.user.partition(":")
        inside = ["chroot", f"--userspec={user}:{group or user}", str(self.root), "/bin/sh", "-c"]
        script = f"cd {self.workdir} && exec " + '"$@"'
        return subprocess.run(
            [*inside, script, "sh", *command],
            env={**_outside(), **self.env, **env},
            capture_output=True,
            text=True,
            check=False,
        )


def instructions(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Each instruction with its arguments."""
    lines = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word.upper(), rest.strip()


def build(dockerfile: Path, clean: Path, scratch: Path) -> Stage:
    """Build the last stage; a step that fails ends the test with what it said."""
    stages: dict[str, Stage] = {}
    stage = Stage(clean)
    for word, rest in instructions(dockerfile.read_text()):
        if word == "FROM":
            name = rest.partition(" AS ")[2] or "last"
            stage = stages[name] = Stage(_copy_of(clean, scratch / name))
        elif word == "RUN":
            done = stage.run(["sh", "-ec", rest])
            assert done.returncode == 0, f"RUN {rest}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        elif word == "COPY":
            _copy(dockerfile.parent, stages, stage, rest)
        elif word == "ENV":
            pairs = re.findall(r"(\w+)=(\S+)", rest)
            stage.env |= {k: v.replace("$PATH", _outside()["PATH"]) for k, v in pairs}
        elif word == "WORKDIR":
            stage.workdir = rest
            (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif word == "USER":
            stage.user = rest
        else:
            stage.told[word] = rest
    return stage


def command(stage: Stage, word: str) -> list[str]:
    """The words of ENTRYPOINT, CMD or HEALTHCHECK."""
    told: list[str] = json.loads(stage.told[word][stage.told[word].index("[") :])
    return told


def _copy(context: Path, stages: Mapping[str, Stage], stage: Stage, rest: str) -> None:
    *sources, target = [part for part in rest.split() if not part.startswith("--")]
    found = re.search(r"--from=(\w+)", rest)
    base = stages[found[1]].root if found else context
    for source in sources:
        origin = base / source.lstrip("/")
        into = stage.root / f"{stage.workdir}/{target}".lstrip("/")
        if target.startswith("/"):
            into = stage.root / target.lstrip("/")
        if origin.is_dir():
            ignored = shutil.ignore_patterns("__pycache__") if not found else None
            shutil.copytree(origin, into, symlinks=True, dirs_exist_ok=True, ignore=ignored)
        else:
            into = into / origin.name if target.endswith("/") else into
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(origin, into)


def _copy_of(clean: Path, root: Path) -> Path:
    subprocess.run(["cp", "-a", clean, root], check=True)
    # What a container engine lends to a build: the network of the machine, and whom it trusts.
    for name in (*_NETWORK_FILES, _CERTIFICATES):
        if Path(name).is_file():
            shutil.copyfile(name, root / name.lstrip("/"))
    # The image of Python calls it python; Debian does not.
    (root / "usr/bin/python").symlink_to("python3")
    return root


def _outside() -> dict[str, str]:
    lent = {k: v for k, v in os.environ.items() if k.startswith("PIP_") or "proxy" in k.lower()}
    return {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root", **lent}

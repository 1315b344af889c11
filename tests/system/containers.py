"""A private container engine for tests: Debian's dockerd, as root, without bridge and iptables.

Its containers have only their own loopback network, or share the machine's network; its data are in
a scratch folder, removed at the end. Nothing is pulled: the base image is made from a clean root
file system.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: Files that a build on this machine needs to reach the package index. The engine itself supplies
#: the resolver.
_LENT = ("etc/pip.conf", "etc/ssl/certs/ca-certificates.crt")
_SECONDS_TO_START = 60


@dataclass(frozen=True)
class Engine:
    """A running dockerd.

    Attributes:
        socket: path of the socket on which it listens.
    """

    socket: Path

    def run(self, *arguments: str | Path, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run a command of the docker client; a failure fails the test with its output."""
        done = subprocess.run(
            ["docker", "--host", f"unix://{self.socket}", *arguments],
            # The classic builder needs no plug-in, and does not pull existing images.
            env={**os.environ, "DOCKER_BUILDKIT": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        if check:
            output = done.stdout[-3000:] + done.stderr[-3000:]
            assert done.returncode == 0, f"docker {arguments[0]}: {output}"
        return done

    def build(self, context: Path, tag: str, **arguments: str) -> None:
        """Build the Dockerfile of a folder; its steps share the machine's network."""
        given = [word for name, value in arguments.items() for word in _argument(name, value)]
        self.run("build", "--network", "host", *given, "--tag", tag, context)

    def import_root(self, root: Path, scratch: Path, tag: str) -> None:
        """Make an image from a root file system, named like the official Python image."""
        with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as tar:
            subprocess.run(
                ["docker", "--host", f"unix://{self.socket}", "import", "-", f"{tag}-root"],
                stdin=tar.stdout,
                capture_output=True,
                check=True,
            )
        assert tar.returncode == 0
        for name in _LENT:
            if Path("/", name).is_file():
                (scratch / "lent" / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path("/", name), scratch / "lent" / name)
        (scratch / "lent/usr/bin").mkdir(parents=True)
        (scratch / "lent/usr/bin/python").symlink_to("python3")
        (scratch / "Dockerfile").write_text(f"FROM {tag}-root\nCOPY lent /\n")
        self.build(scratch, tag)


@contextmanager
def engine(scratch: Path) -> Iterator[Engine]:
    """Run a dockerd with its data in `scratch` during the block."""
    # A socket's path is at most 107 bytes long.
    made = Engine(scratch / "docker.sock")
    log = scratch / "dockerd.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                "dockerd",
                *("--host", f"unix://{made.socket}"),
                *("--data-root", scratch / "data"),
                *("--exec-root", scratch / "exec"),
                *("--pidfile", scratch / "dockerd.pid"),
                *("--iptables=false", "--ip6tables=false", "--bridge=none"),
            ],
            stdout=output,
            stderr=output,
            # In its own session: Ctrl-C ends the tests first, which then end the engine.
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + _SECONDS_TO_START
        while made.run("version", check=False).returncode != 0:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield made
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        # The engine leaves the network namespaces of its containers mounted there.
        for namespace in (scratch / "exec").glob("netns/*"):
            subprocess.run(["umount", namespace], check=False)


def _argument(name: str, value: str) -> tuple[str, str]:
    return "--build-arg", f"{name}={value}"

"""``staging-api get`` beside ``aws s3 sync``, ``rsync`` and ``curl``: first, again, one changed.

    python -m benchmarks.get [--rounds 5] [--files 2000] [--large-megabytes 128]

All download the same files to an empty folder of this machine, then again with nothing changed,
then with one small file changed at the server. In each round they take turns, ours first. The
service has staged the files before; `rsync` reads them from a daemon, `aws` from moto, `curl` from
nginx. Peers that are not installed are left out. The figures are those of the command: they include
the wall time of the servers, but not their CPU time.
"""

import argparse
import hashlib
import logging
import os
import random
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import bench
from staging_api.client import StagingClient

_MOMENTS = ("first", "unchanged", "one changed")
_CONNECTIONS = 8


@dataclass(frozen=True)
class Peer:
    """A program that downloads the files.

    Attributes:
        command: downloads the files to the given folder.
        publish: makes the server serve the present files of the build's folder.
    """

    name: str
    command: Callable[[Path], Sequence[str]]
    publish: Callable[[], None]


def make_files(build: Path, files: int, large_megabytes: int) -> None:
    """Write small files in folders of a hundred, and two large ones; the same bytes each time."""
    draw = random.Random(19)
    for number in range(files):
        folder = build / "suite" / f"{number // 100:03}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"control.{number}").write_bytes(draw.randbytes(draw.randrange(200, 16_000)))
    for number in range(2):
        (build / f"image{number}.bin").write_bytes(draw.randbytes(large_megabytes << 19))


def list_files(build: Path) -> None:
    """Write the manifest, which names all files."""
    (build / "UPLOADED").unlink(missing_ok=True)
    names = sorted(str(path.relative_to(build)) for path in build.rglob("*") if path.is_file())
    (build / "UPLOADED").write_text("".join(f"{name}\n" for name in names))


@contextmanager
def service(root: Path, work: Path) -> Iterator[str]:
    """Run the service over the folder of builds; yield its URL."""
    port = bench.free_port()
    settings = {
        "STAGING_HOME": str(work / "home"),
        "STAGING_SOURCES": f"file://{root}",
        "STAGING_BIND": f"127.0.0.1:{port}",
        "STAGING_CATALOGUE": "everything",
    }
    env = {"PATH": os.environ["PATH"], **settings}
    command = [sys.executable, "-m", "staging_api", "serve"]
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as process:
        try:
            bench.wait_for(f"http://127.0.0.1:{port}/readyz", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@contextmanager
def ours(build: Path, work: Path) -> Iterator[Peer]:
    """Run the service; yield its peer entry."""
    with service(build.parent, work) as address, StagingClient(address, timeout=600) as client:
        url = f"file://{build}"

        def publish() -> None:
            # The archive has changed, so its staged artifacts are outdated.
            for artifact in list(client.artifacts(archive_url=url, state="staged")):
                client.evict(artifact.id)
            client.wait(client.stage(url, timeout=600).id, timeout=600)

        program = str(Path(sys.executable).with_name("staging-api"))
        command = [program, "get", url, "--server", address, "--json", "-o"]
        yield Peer("get", lambda to: [*command, str(to)], publish)


@contextmanager
def rsync(build: Path, work: Path) -> Iterator[Peer]:
    """Run an rsync daemon over the folder."""
    port = bench.free_port()
    config = work / "rsyncd.conf"
    module = f"[builds]\npath = {build}\nuse chroot = no\nread only = yes\n"
    owner = "" if os.getuid() else "uid = 0\ngid = 0\n"
    config.write_text(f"port = {port}\naddress = 127.0.0.1\n{module}{owner}")
    daemon = ["rsync", "--daemon", "--no-detach", f"--config={config}"]
    with subprocess.Popen(daemon) as process:
        try:
            time.sleep(0.5)
            source = f"rsync://127.0.0.1:{port}/builds/"
            yield Peer("rsync", lambda to: ["rsync", "-a", source, str(to)], lambda: None)
        finally:
            process.terminate()


@contextmanager
def aws(build: Path, work: Path) -> Iterator[Peer]:
    """Run moto, with the same files in a bucket."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        secrets = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
        os.environ.update(secrets, AWS_DEFAULT_REGION="us-east-1", HOME=str(work))
        program = ["aws", "--endpoint-url", endpoint, "s3"]
        subprocess.run([*program, "mb", "s3://builds"], check=True, stdout=subprocess.DEVNULL)

        def publish() -> None:
            subprocess.run([*program, "sync", "--quiet", str(build), "s3://builds"], check=True)

        sync = [*program, "sync", "--quiet", "s3://builds"]
        yield Peer("aws s3 sync", lambda to: [*sync, str(to)], publish)
    finally:
        server.stop()


@contextmanager
def curl(build: Path, work: Path) -> Iterator[Peer]:
    """Run nginx over the folder; curl gets a list of all its files."""
    with bench.nginx(build, work) as address:

        def command(to: Path) -> Sequence[str]:
            config = to.parent / f"{to.name}.curl"
            lines = []
            for name in (build / "UPLOADED").read_text().split():
                place = to / name
                lines.append(f'next\nurl = "{address}/{name}"\noutput = "{place}"')
                # With the time of the existing file: a server without a newer one answers 304.
                lines.append("create-dirs\nremote-time\nfail\nsilent")
                if place.exists():
                    lines.append(f'time-cond = "{place}"')
            config.write_text("\n".join(lines).removeprefix("next\n") + "\n")
            parallel = ["--parallel", "--parallel-max", str(_CONNECTIONS)]
            return ["curl", "--no-progress-meter", *parallel, "-K", str(config)]

        yield Peer("curl", command, lambda: None)


_NEEDS = {"rsync": rsync, "aws": aws, "curl": curl}


def change_one(build: Path, round_number: int) -> None:
    """Change content, length and time of one small file."""
    victim = build / "suite" / "003" / "control.333"
    victim.write_bytes(b"x" * (1000 + round_number))
    os.utime(victim, (time.time() + round_number + 2,) * 2)


def same(build: Path, to: Path) -> None:
    """Check that a folder has the same files as the build.

    Raises:
        RuntimeError: a file differs.
    """
    for name in (build / "UPLOADED").read_text().split():
        if _digest(build / name) != _digest(to / name):
            raise RuntimeError(f"{to / name} differs")


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


#: Costs of the three cases, by peer.
Round = dict[str, list[bench.Cost]]


def run_once(peers: Sequence[Peer], build: Path, work: Path, round_number: int) -> Round:
    """Run each peer in each of the three cases."""
    costs: Round = {peer.name: [] for peer in peers}
    for moment in _MOMENTS:
        if moment == "one changed":
            change_one(build, round_number)
            for peer in peers:
                peer.publish()
        for peer in peers:
            to = work / peer.name.replace(" ", "-")
            if moment == "first":
                shutil.rmtree(to, ignore_errors=True)
                to.mkdir()
            command = peer.command(to)
            costs[peer.name].append(bench.of_shell(shlex.join(command), work))
            same(build, to)
    return costs


def table(rounds: Sequence[Round]) -> Iterator[str]:
    """Yield a line per case and peer: medians, and the ratio to ours, round by round."""
    yield "| moment | command | wall s | CPU s | `get` beside it: wall (min to max) | CPU |"
    yield "|---|---|---|---|---|---|"
    for index, moment in enumerate(_MOMENTS):
        for name in rounds[0]:
            costs = [each[name][index] for each in rounds]
            our = [each["get"][index] for each in rounds]
            wall = [a.wall / b.wall for a, b in zip(our, costs, strict=True)]
            cpu = statistics.median(a.cpu / b.cpu for a, b in zip(our, costs, strict=True))
            middle = statistics.median(wall)
            ratio = f"{middle:.2f} ({min(wall):.2f} to {max(wall):.2f}) | {cpu:.2f}"
            spent = [statistics.median(getattr(c, of) for c in costs) for of in ("wall", "cpu")]
            shown = " | " if name == "get" else ratio
            yield f"| {moment} | {name} | {spent[0]:.2f} | {spent[1]:.2f} | {shown} |"


def main() -> None:
    """Run all rounds, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--large-megabytes", type=int, default=128)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="get-") as folder, ExitStack() as stack:
        work = Path(folder)
        work.chmod(0o755)  # nginx drops its privileges
        build = work / "builds" / "R1"
        build.mkdir(parents=True)
        make_files(build, given.files, given.large_megabytes)
        list_files(build)
        peers = [stack.enter_context(ours(build, work))]
        for program, peer in _NEEDS.items():
            if shutil.which(program):
                peers.append(stack.enter_context(peer(build, work)))
        for each in peers:
            each.publish()
        rounds = [run_once(peers, build, work, number) for number in range(given.rounds)]
        print(f"{bench.machine()}; {given.files} small files, {given.large_megabytes} MiB large\n")
        print("\n".join(table(rounds)))


if __name__ == "__main__":
    main()

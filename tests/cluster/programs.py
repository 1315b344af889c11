"""Programs around the service: their configuration, start and end.

None of them runs as root, and each ends with the process that started it (`tests.ordinary`).
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

_PLACES = os.pathsep.join(("/usr/sbin", "/usr/local/sbin", os.environ.get("PATH", "")))
_STOP_SECONDS = 20.0


class NotInstalled(Exception):
    """A Debian package is missing; the message names it."""


@dataclass
class Program:
    """One program with its own folder."""

    name: str
    folder: Path
    options: Sequence[str]
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start the program without waiting until it is ready."""
        command = [sys.executable, "-m", "tests.ordinary", str(self.folder / "data")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, str(find(self.name)), *self.options],
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C at the terminal is for the cluster alone
            )

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop the program; kill it if it does not react."""
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


def find(name: str) -> Path:
    """Return the path of a program.

    Raises:
        NotInstalled: the program was not found.
    """
    found = shutil.which(name, path=_PLACES)
    if found is None:
        raise NotInstalled(f"{name} is not installed; as root: apt-get install {name}")
    return Path(found)


def pooler(folder: Path, port: int, server: Path, user: str, password: str) -> Program:
    """Return pgbouncer in transaction mode, before the server whose socket is in `server`."""
    made = _folder(folder)
    _write(made / "users", f'"{user}" "{password}"\n')
    text = _PGBOUNCER.substitute(port=port, server=server, users=made / "users")
    return Program("pgbouncer", made, ["-q", _write(made / "pgbouncer.ini", text)])


def balancer(folder: Path, port: int, status_port: int, pods: Mapping[str, str]) -> Program:
    """Return haproxy before API pods; it sends requests only to ready pods.

    Args:
        pods: addresses of the pods, by name.
    """
    made = _folder(folder)
    servers = "\n".join(f"    server {name} {at} check" for name, at in pods.items())
    broken = _write(made / "broken.http", _BROKEN)
    text = _HAPROXY.substitute(port=port, status=status_port, servers=servers, broken=broken)
    return Program("haproxy", made, ["-db", "-f", _write(made / "haproxy.cfg", text)])


def _folder(folder: Path) -> Path:
    (folder / "data").mkdir(parents=True)
    return folder


def _write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


# Short timeouts while no server is available: a request that needs the database gets 503.
_PGBOUNCER = Template("""\
[databases]
staging = host=$server port=5432 dbname=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = scram-sha-256
auth_file = $users
pool_mode = transaction
default_pool_size = 30
max_client_conn = 500
server_login_retry = 1
query_wait_timeout = 5
""")

# A pod that dies cuts its connections. A read is sent to another pod; of any other request
# it is not known whether it was done, so the client gets a Retry-After, as from a pod that stops.
_HAPROXY = Template("""\
global
    maxconn 1000

defaults
    mode http
    timeout connect 2s
    timeout client 10m
    timeout server 10m
    timeout check 1s
    timeout http-request 30s
    timeout queue 10s
    option redispatch 1
    retries 3
    errorfile 502 $broken
    errorfile 503 $broken
    errorfile 504 $broken

frontend api
    bind 127.0.0.1:$port
    default_backend pods

frontend status
    bind 127.0.0.1:$status
    stats enable
    stats uri /

backend pods
    balance leastconn
    http-request disable-l7-retry unless METH_GET or { method HEAD }
    retry-on conn-failure empty-response
    option httpchk GET /readyz
    http-check expect status 200
    default-server inter 500ms fall 2 rise 1
$servers
""")

_BROKEN = (
    "HTTP/1.0 503 Service Unavailable\r\n"
    "Cache-Control: no-store\r\nConnection: close\r\nRetry-After: 1\r\n"
    "X-Request-Id: none\r\nContent-Type: application/problem+json\r\n\r\n"
    '{"type": "urn:staging-api:unavailable", "title": "Temporarily unavailable", "status": 503,'
    ' "detail": "the pod that worked on it is gone, or there is none", "instance": "",'
    ' "code": "unavailable", "retryable": true, "request_id": null}\n'
)

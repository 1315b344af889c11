"""A PostgreSQL pair, a pooler, a balancer, an S3 server, three API pods and two workers.

Every connection to the primary goes through the link ``primary``, which a failover switches to the
other server: it takes the place of a service name or a moving address.
"""

import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex

import obstore
import psycopg2
from obstore.store import S3Store
from sqlalchemy import make_url

from staging_api.db.migrate import migrate
from tests.cluster.disk import Disk, can_mount, disk
from tests.cluster.programs import Program, balancer, find, pooler
from tests.pair import Pair, url_of
from tests.service import Pod, Service, eventually, free_port, wait_until_ready

BUCKET = "builds"
API_PODS, WORKERS = 3, 2
#: Lease of a lock: short, so that the work of a killed pod is continued soon.
LEASE_SECONDS = 5.0

_ROLES = Path(__file__).parents[2] / "docs" / "roles.sql"
_APP, _OWNER = "staging_app", "staging_owner"


@dataclass
class Cluster:
    """All processes of the cluster, and operations on them.

    Attributes:
        url: URL of the service, through the balancer.
        status_url: the balancer's own status page.
        s3_url: URL of the S3 server.
        pooled_url: URL of the database through the pooler, as the pods use it.
        api: the intended API pods.
        workers: the intended worker pods.
        store: the disk of the store; None if that is an ordinary folder.
    """

    folder: Path
    url: str
    status_url: str
    s3_url: str
    pooled_url: str
    pair: Pair
    pooler: Program
    service: Service
    api: list[Pod]
    workers: list[Pod]
    store: Disk | None
    _rolling: Pod | None = None
    _changing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def owner_url(self) -> str:
        """The URL of the primary, for the owner of the tables."""
        return url_of(self.folder / "primary", _OWNER)

    @property
    def reads(self) -> Path:
        """The log of the bucket's reads."""
        return self.folder / "bucket" / "reads"

    def put(self, path: str, objects: Mapping[str, bytes]) -> str:
        """Put an archive into the bucket; return its URL."""
        bucket = S3Store(
            BUCKET,
            endpoint=self.s3_url,
            region="us-east-1",
            client_options={"allow_http": True},
            access_key_id="test",
            secret_access_key="test",
        )
        for name, content in objects.items():
            obstore.put(bucket, f"{path}/{name}", content, use_multipart=False)
        return f"s3://{BUCKET}/{path}"

    def kill(self, pods: list[Pod], lot: int) -> None:
        """Kill one of `api` or `workers`; a new pod replaces it, as in a Deployment."""
        with self._changing:
            free = [pod for pod in pods if pod is not self._rolling]
            pod = free[lot % len(free)]
            pod.kill()
            self._replace(pod)

    def roll(self) -> None:
        """Stop every pod gracefully, one after the other, each replaced by a new one."""
        for pods in (self.api, self.workers):
            for number in range(len(pods)):
                self._roll(pods, number)

    def fail_over(self) -> None:
        """Kill the primary, promote its standby, and wait until the service uses the latter."""
        self.pair.fail_over()
        self._point()
        eventually(self._answers, "no pod has found the new primary")

    def follow(self) -> None:
        """Create a standby of the new primary."""
        self.pair.follow()

    def restart_pooler(self) -> None:
        """Stop the pooler with all its connections, and start it again."""
        self.pooler.end()
        self.pooler.start()

    def _roll(self, pods: list[Pod], number: int) -> None:
        with self._changing:
            pod = self._rolling = pods[number]
        pod.stop()
        with self._changing:
            fresh = self._rolling = self._replace(pod)
        if fresh.url:
            wait_until_ready(fresh)
        self._rolling = None

    def _replace(self, pod: Pod) -> Pod:
        fresh = self.service.again(pod)
        pods = self.api if pod.url else self.workers
        pods[pods.index(pod)] = fresh
        return fresh

    def _answers(self) -> bool:
        with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(f"{self.url}/api/v1.0/locks?limit=1", timeout=5).close()
            return True
        return False

    def _point(self) -> None:
        link = self.folder / "primary"
        link.unlink(missing_ok=True)
        link.symlink_to(self.pair.primary.folder)


@contextmanager
def cluster(*, forked: bool = False, **settings: str) -> Iterator[Cluster]:
    """Yield a cluster, and remove its files afterwards.

    Args:
        forked: whether pods are forks of a process that has imported the service.
        settings: settings of the pods that differ from the default.

    Raises:
        NotInstalled: pgbouncer or haproxy is missing.
    """
    for name in ("pgbouncer", "haproxy"):
        find(name)
    with ExitStack() as stack:
        # A short path: the address of a Unix socket has at most 107 bytes.
        folder = tempfile.TemporaryDirectory(prefix="staging-cluster-", dir="/tmp")
        yield _started(Path(stack.enter_context(folder)), stack, settings, forked)


def _started(folder: Path, stack: ExitStack, settings: Mapping[str, str], forked: bool) -> Cluster:
    pair = _servers(folder, stack)
    s3_url = _bucket(folder / "bucket", stack)
    password, port = token_hex(16), free_port()
    poolers = pooler(folder / "pooler", port, folder / "primary", _APP, password)
    stack.callback(poolers.end)
    store = stack.enter_context(disk(folder / "store")) if can_mount() else None
    made = Cluster(
        folder=folder,
        url=f"http://127.0.0.1:{free_port()}",
        status_url=f"http://127.0.0.1:{free_port()}",
        s3_url=s3_url,
        pooled_url=f"postgresql+psycopg2://{_APP}:{password}@127.0.0.1:{port}/staging",
        pair=pair,
        pooler=poolers,
        service=Service(folder, ""),
        api=[],
        workers=[],
        store=store,
    )
    made._point()
    _prepare(made)
    poolers.start()
    made.service = stack.enter_context(closing(_service(made, settings, forked)))
    _start_pods(made, stack)
    return made


def _servers(folder: Path, stack: ExitStack) -> Pair:
    (folder / "postgresql").mkdir()
    pair = Pair(folder / "postgresql", sync=True)
    stack.callback(pair.close)
    pair.follow()
    return pair


def _bucket(folder: Path, stack: ExitStack) -> str:
    folder.mkdir()
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.bucket", str(port), str(folder / "reads")],
            stdin=subprocess.PIPE,  # its end tells the server that this process is gone
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    stack.enter_context(process)
    stack.callback(process.terminate)
    url = f"http://127.0.0.1:{port}"

    def made() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        with suppress(urllib.error.URLError):
            request = urllib.request.Request(f"{url}/{BUCKET}", method="PUT")
            urllib.request.urlopen(request, timeout=10).close()
            return True
        return False

    eventually(made, "the S3 server did not come up")
    return url


def _prepare(made: Cluster) -> None:
    """Create the roles, then the tables, as in docs/how-to/operations.md."""
    dsn = make_url(url_of(made.folder / "primary")).set(drivername="postgresql")
    with closing(psycopg2.connect(dsn.render_as_string(hide_password=False))) as conn:
        with conn, conn.cursor() as cursor:
            cursor.execute(_ROLES.read_text())
    migrate(made.owner_url)


def _service(made: Cluster, settings: Mapping[str, str], forked: bool) -> Service:
    given = {
        "database_direct_url": url_of(made.folder / "primary", _APP),
        "lease_seconds": str(LEASE_SECONDS),
        "shutdown_seconds": "10",
        "drain_seconds": "2",
        "log_format": "json",
        **settings,
    }
    return Service(
        made.folder,
        made.pooled_url,
        f"s3://{BUCKET}/",
        environment={
            "AWS_ENDPOINT_URL": made.s3_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        },
        forked=forked,
        **given,
    )


def _start_pods(made: Cluster, stack: ExitStack) -> None:
    made.workers = [made.service.start("worker") for _ in range(WORKERS)]
    made.api = made.service.api(API_PODS)
    pods = {f"api-{n}": pod.url.removeprefix("http://") for n, pod in enumerate(made.api)}
    port, status_port = (int(url.rpartition(":")[2]) for url in (made.url, made.status_url))
    front = balancer(made.folder / "balancer", port, status_port, pods)
    front.start()
    stack.callback(front.end, signal.SIGTERM)

    def serves() -> bool:
        with suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(f"{made.url}/readyz", timeout=5).close()
            return True
        return False

    eventually(serves, "the balancer does not reach the pods")

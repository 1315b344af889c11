"""Start the cluster, print the addresses of its parts, and run until Ctrl-C: ``make cluster``."""

import signal
import sys
import threading

from staging_api.processes.signals import stop_signals
from tests.builds import build
from tests.cluster.cluster import BUCKET, Cluster, cluster
from tests.cluster.programs import NotInstalled
from tests.options import refuse_options

_TOLD = """
the service, through haproxy   {url}
haproxy's own page             {status}
the pods                       {pods}
S3                             {s3}, bucket {bucket}, keys test and test
PostgreSQL, through pgbouncer  {pooled}
PostgreSQL, the primary        psql -h {folder}/primary -U staging postgres
logs                           {folder}/*/log

Try, in another terminal:
  export STAGING_SERVER={url}
  .venv/bin/staging-api stage {archive} --background
  .venv/bin/staging-api locks --all

Ctrl-C ends everything.
"""


def main() -> None:
    """Run until a signal ends it."""
    refuse_options("tests.cluster", __doc__)
    ended = threading.Event()
    for number in stop_signals():
        signal.signal(number, lambda *_: ended.set())
    try:
        with cluster() as made:
            _say(made)
            ended.wait()
    except NotInstalled as error:
        sys.exit(str(error))


def _say(made: Cluster) -> None:
    archive = made.put("board-release/R17-1208.0.0", build())
    print(
        _TOLD.format(
            url=made.url,
            status=made.status_url,
            pods=", ".join(pod.url for pod in made.api),
            s3=made.s3_url,
            bucket=BUCKET,
            pooled=made.pooled_url.replace("postgresql+psycopg2", "postgresql"),
            folder=made.folder,
            archive=archive,
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()

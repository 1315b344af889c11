"""The worker process: stages background artifacts, and serves only its probes.

What if it dies? Its locks expire, and its work is resumed elsewhere (see `staging.service`).
"""

import logging
import os
import threading
from contextlib import suppress

from staging_api.exhaustion import startup_errors
from staging_api.heartbeats.model import ProcessLoad
from staging_api.http.probe_apps import create_worker_probes
from staging_api.processes.bootstrap import build
from staging_api.processes.run import keep_from_others
from staging_api.processes.services import Services
from staging_api.processes.signals import on_stop
from staging_api.processes.worker_probes import WorkerProbes
from staging_api.settings import Settings

log = logging.getLogger(__name__)


def run_worker(settings: Settings) -> None:
    """Work until a signal stops the process, and at most ``STAGING_SHUTDOWN_SECONDS`` longer.

    Jobs may finish the artifact in progress; locks of unfinished artifacts are released.
    """
    keep_from_others()
    services = build(settings)
    worker = services.worker()
    if settings.worker_bind:
        with startup_errors():
            alive = {"loop": worker.check, "threads": services.probes.threads}
            probes = create_worker_probes(services.probes, alive)
            WorkerProbes(settings.worker_bind, probes).start()

    def stop() -> None:
        services.drain.begin()
        give_back_in = services.locks.shutdown.begin(settings.shutdown_seconds)
        worker.stop()
        last = threading.Timer(give_back_in, _end_at_once, [services])
        last.daemon = True
        with suppress(RuntimeError):  # no thread available: the remaining leases expire
            last.start()

    on_stop(stop)
    log.info("worker %s works on %d stagings at once", services.locks.holder, settings.worker_jobs)
    bind = settings.worker_bind or None
    services.begin_heartbeat("worker", settings.worker_jobs, bind, lambda: ProcessLoad(worker.busy))
    try:
        with services.renewal().running():
            worker.run()
    finally:
        services.close()
    log.info("worker %s stopped", services.locks.holder)


def _end_at_once(services: Services) -> None:
    """Release all leases and exit, although threads hang in a read and cannot be stopped."""
    log.warning("work did not stop in time; its locks are given back")
    services.locks.release_all()
    os._exit(0)

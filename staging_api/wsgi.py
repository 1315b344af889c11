"""Entry point for a WSGI server that is started by hand: ``gunicorn staging_api.wsgi:app``."""

import gc

# Imported objects live as long as the process: garbage collection would traverse them without
# effect, so later passes skip them.
gc.disable()

from staging_api.processes.application import wsgi_of  # noqa: E402
from staging_api.processes.bootstrap import build  # noqa: E402
from staging_api.settings import Settings  # noqa: E402

app = wsgi_of(build(Settings.from_env()))
gc.freeze()
gc.enable()

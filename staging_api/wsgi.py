"""The entry for a WSGI server that is started by hand: ``gunicorn staging_api.wsgi:app``."""

import gc

# What is imported lives as long as the process: each pass over it would find nothing, and later
# ones leave it out.
gc.disable()

from staging_api.processes.application import wsgi_of  # noqa: E402
from staging_api.processes.bootstrap import build  # noqa: E402
from staging_api.settings import Settings  # noqa: E402

app = wsgi_of(build(Settings.from_env()))
gc.freeze()
gc.enable()

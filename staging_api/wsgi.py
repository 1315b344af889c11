"""The entry for a WSGI server that is started by hand: ``gunicorn staging_api.wsgi:app``."""

from staging_api.processes.application import wsgi_of
from staging_api.processes.bootstrap import build
from staging_api.settings import Settings

app = wsgi_of(build(Settings.from_env()))

"""Modules that are not imported where they are not needed: they would slow down each start."""

import json
import os
import subprocess
import sys

#: Libraries of verbs, of one identity kind, of pages, documents, buckets, sources, migrations.
HEAVY = frozenset(
    {
        "aiohttp",
        "alembic",
        "attr",
        "cryptography",
        "dotenv",
        "jinja2",
        "joserfc",
        "jsonschema",
        "keystonemiddleware",
        "mako",
        "obstore",
        "opentelemetry",
        "pygments",
        "pysequoia",
        "referencing",
        "regex",
        "rich",
        "structlog",
        "typer",
        "urllib3",
    }
)
#: Additional imports of a parent of processes; the verbs' library comes with the command line.
OF_THE_COMMAND_LINE = frozenset({"typer", "rich"})


def imported(statement: str, **settings: str) -> set[str]:
    """Return the packages that a process has imported after a statement."""
    program = f"{statement}\nimport sys\nprint(*{{n.partition('.')[0] for n in sys.modules}})"
    return set(output(program, **settings).split())


def output(program: str, *arguments: str, **settings: str) -> str:
    """Return the output of a program."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("STAGING_")}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.check_output(command, env={**clean, **settings}, text=True)


#: Prints our own packages that are imported, by `note`.
_NOTING_ROOMS = """
def note():
    import sys
    print(*{n.split(".")[1] for n in sys.modules if n.startswith("staging_api.")})
"""
#: Imports the application; prints the garbage collector's number of runs and its settings.
_COLLECTED = """
import gc
passes = []
gc.callbacks.append(lambda phase, _: passes.append(phase))
import staging_api.wsgi
few, kept = len(passes) < 10, gc.get_freeze_count() > 100_000
print("few" * few, "on" * gc.isenabled(), "frozen" * kept)
"""


def test_the_application_imports_nothing_that_only_few_need() -> None:
    found = imported(_COLLECTED, STAGING_DATABASE_URL="postgresql:///none")
    assert {"falcon", "sqlalchemy", "pydantic"} <= found
    assert not found & HEAVY
    # The collector does not run during the imports, and never visits their objects later.
    assert {"few", "on", "frozen"} <= found


#: Imports the application with each of the given settings, each in a fork of one process.
_WITH_SETTINGS = """
import json, os, sys
import staging_api.processes.application
for settings in json.loads(sys.argv[1]):
    print(flush=True)
    if not os.fork():
        os.environ.update(settings)
        import staging_api.wsgi
        print(*{n.partition(".")[0] for n in sys.modules}, end="", flush=True)
        os._exit(0)
    os.wait()
"""
_NEEDED = [
    ({"STAGING_SOURCES": "https://builds.example.org/"}, "urllib3"),
    ({"STAGING_SOURCES": "gs://builds/"}, "obstore"),
    ({"STAGING_STORE": "s3://bucket/prefix"}, "obstore"),
]


def test_what_a_setting_needs_is_imported_at_the_start() -> None:
    """Import errors of a library then appear at the start, and forks share its memory."""
    given = json.dumps([settings for settings, _ in _NEEDED])
    _, *lines = output(_WITH_SETTINGS, given, STAGING_DATABASE_URL="postgresql:///none").split("\n")
    assert len(lines) == len(_NEEDED)
    for line, (settings, needed) in zip(lines, _NEEDED, strict=True):
        assert needed in line.split(), settings


def test_parents_import_what_their_processes_need_and_no_more() -> None:
    found = imported(
        "import staging_api.cli.serve, staging_api.processes.api_server, staging_api.processes.run,"
        " staging_api.processes.worker, staging_api.processes.children"
    )
    assert {"gunicorn", "falcon", "sqlalchemy"} <= found
    assert not found & (HEAVY - OF_THE_COMMAND_LINE)


def test_the_client_imports_nothing_of_the_service() -> None:
    found = imported("import staging_api.client, staging_api.cli.status, staging_api.cli.get")
    service = {"falcon", "gunicorn", "psycopg2", "pydantic", "sqlalchemy", "prometheus_client"}
    assert "staging_api" in found
    assert not found & (service | (HEAVY - OF_THE_COMMAND_LINE - {"urllib3"}))


def test_the_list_of_verbs_imports_neither_the_client_nor_what_speaks_http() -> None:
    """Every verb would wait for these imports, and verbs of the service need no client."""
    found = imported(f"{_NOTING_ROOMS}import staging_api.cli, staging_api.cli.serve\nnote()")
    assert {"staging_api", "cli"} <= found
    assert "client" not in found
    alone = imported("import staging_api.cli")
    assert {"staging_api", "typer"} <= alone
    assert not alone & {"email", "http", "ssl", "urllib3", "logging", "rich"}


#: Imports all packages except those of HTTP, pages and processes, with their libraries blocked.
_WITHOUT_FRAMEWORK = """
import pkgutil, sys
import staging_api
sys.modules.update(dict.fromkeys(("falcon", "spectree", "jinja2", "gunicorn")))
apart = {"http", "ui", "processes", "wsgi", "cli", "__main__", "client"}
for room in pkgutil.iter_modules(staging_api.__path__, "staging_api."):
    if room.name.rpartition(".")[2] not in apart:
        __import__(room.name)
        path = getattr(sys.modules[room.name], "__path__", ())
        for module in pkgutil.walk_packages(path, f"{room.name}."):
            __import__(module.name)
print("staged" if "staging_api.staging.service" in sys.modules else "")
"""


def test_the_rooms_below_http_need_no_framework() -> None:
    """The use cases run, and can be tested, with Falcon uninstalled."""
    assert output(_WITHOUT_FRAMEWORK).strip() == "staged"

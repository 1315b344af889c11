"""Processes: the pods and workers that the database saw, and whether they run the same code."""

from collections import Counter
from collections.abc import Sequence

from staging_api import about
from staging_api.heartbeats.model import SeenProcess
from staging_api.ui.copies import Copies, api_path
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.formats import counted
from staging_api.ui.screen import ScreenContent, View

_PAGE = 200
_SQL = """SELECT name, kind, version, build, busy, places, waiting, threads, started_at, seen_at
FROM service_processes ORDER BY name;"""


def show(deps: UiDependencies, view: View) -> ScreenContent:
    """List the processes seen within a day, and their problems."""
    page = deps.api.processes.page(limit=_PAGE, after=view.query.get("after", ""))
    # Each page of the list shows the numbers of all processes.
    seen = deps.api.processes.all()
    database = deps.api.processes.database_facts()
    alive = [each for each in seen if each.alive]
    api = [each for each in alive if each.kind == "api"]
    builds = Counter(each.build for each in alive)
    kinds = Counter(each.kind for each in alive)
    lost = len(seen) - len(alive)
    mood = "warn" if lost or len(builds) > 1 or not kinds["worker"] else "ok"
    return ScreenContent(
        "processes.html",
        f"{counted(len(alive), 'processes')} alive" + (f", {lost} not seen" if lost else ""),
        {
            "page": page,
            "database": database,
            "kinds": kinds,
            "builds": builds,
            "lost": lost,
            "own_build": about.build(),
            "places": _sum(api, "places"),
            "busy": _sum(api, "busy"),
            "waiting": _sum(alive, "waiting"),
            "refused": _sum(alive, "refused"),
        },
        mood=mood,
        copies=Copies(
            api_path("/processes"),
            cli="staging-api processes",
            python='for each in client.processes(): print(each["name"], each["alive"])',
            sql=_SQL,
        ),
    )


def _sum(processes: Sequence[SeenProcess], field: str) -> int:
    return sum(getattr(each, field) for each in processes)

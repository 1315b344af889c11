"""Table of screens, and the routes derived from it."""

from collections.abc import Mapping
from dataclasses import replace

from staging_api.http.dependencies import AppDependencies
from staging_api.http.limits import Refusals
from staging_api.http.permissions import ANYBODY, Roles
from staging_api.http.problems import ErrorForm
from staging_api.http.route import Make, Route
from staging_api.http.routes import ROUTES
from staging_api.ui import sign_in
from staging_api.ui.assets import Assets
from staging_api.ui.audit_csv import AuditCsv
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.error_pages import ErrorPages
from staging_api.ui.freshness import Fragments
from staging_api.ui.live import LiveStream
from staging_api.ui.page import HtmlPage
from staging_api.ui.screen import Screen, roles_of
from staging_api.ui.screens import (
    apt,
    artifacts,
    audit,
    builds,
    catalogue,
    documents,
    locks,
    now,
    processes,
    reference,
    search,
    stagings,
    store,
    wall,
)
from staging_api.ui.screens.artifact_actions import EVICT, PIN, UNPIN
from staging_api.ui.screens.stage_actions import CANCEL, STAGE, STAGE_AGAIN
from staging_api.ui.sign_in import SignIn, SignInCallback, SignInStart
from staging_api.ui.small_pages import Badge, Theme, UiRoot

#: All screens, in the order of the navigation.
SCREENS: tuple[Screen, ...] = (
    Screen(
        "/",
        now.show,
        "GET /stagings",
        "Now",
        "n",
        topics={"work", "locks", "alive", "store", "apt"},
    ),
    Screen(
        "/ui/builds",
        builds.show,
        "GET /artifacts",
        "Builds",
        "b",
        actions={
            "stage": STAGE,
            "stage_again": STAGE_AGAIN,
            "pin": PIN,
            "unpin": UNPIN,
            "evict": EVICT,
        },
        topics={"work"},
    ),
    Screen("/ui/stagings", stagings.show_all, "GET /stagings", "Stagings", "t", topics={"work"}),
    Screen(
        "/ui/stagings/{staging_id}",
        stagings.show,
        "GET /stagings/{staging_id}",
        actions={"cancel": CANCEL, "stage_again": STAGE_AGAIN},
        topics={"work"},
    ),
    Screen("/ui/locks", locks.show_all, "GET /locks", "Locks", "l", topics={"locks"}),
    Screen(
        "/ui/locks/{lock_id}",
        locks.show_one,
        "GET /locks/{lock_id}",
        actions={"break": locks.BREAK},
        topics={"locks", "work"},
    ),
    Screen(
        "/ui/artifacts/{artifact_id}",
        artifacts.show,
        "GET /artifacts/{artifact_id}",
        actions={"pin": PIN, "unpin": UNPIN, "evict": EVICT},
        topics={"work"},
    ),
    Screen("/ui/content/{sha256}", artifacts.show_content, "GET /artifacts"),
    Screen("/ui/apt", apt.show_all, "GET /distributions", "APT", "a", topics={"apt"}),
    Screen(
        "/ui/apt/{archive}",
        apt.show_one,
        "GET /distributions/{archive}",
        actions=apt.ACTIONS,
        topics={"apt"},
    ),
    Screen(
        "/ui/publications/{publication_id}",
        apt.show_run,
        "GET /publications/{publication_id}",
        topics={"apt"},
    ),
    Screen(
        "/ui/documents",
        documents.show,
        "GET /document-buffer",
        "Documents",
        "d",
        actions={"commit_documents": documents.COMMIT, "discard_documents": documents.DISCARD},
    ),
    Screen(
        "/ui/documents/revisions/{number}",
        documents.show_revision,
        "GET /document-revisions/{number:int}",
        actions={"roll_back_documents": documents.ROLL_BACK},
    ),
    Screen(
        "/ui/store",
        store.show,
        "GET /store",
        "Store",
        "s",
        actions={"preview": store.PREVIEW, "prune": store.PRUNE},
        topics={"store", "work"},
    ),
    Screen(
        "/ui/processes",
        processes.show,
        "GET /processes",
        "Processes",
        "r",
        topics={"processes", "alive"},
    ),
    Screen(
        "/ui/catalogue",
        catalogue.show,
        "GET /catalogue",
        "Catalogue",
        "c",
        actions={"try": catalogue.TRY},
    ),
    Screen("/ui/audit", audit.show, "GET /events", "Audit", "u", actions={"verify": audit.VERIFY}),
    Screen("/ui/api", reference.show, None, "API", "i"),
    Screen(
        "/ui/wall",
        wall.show,
        "GET /counts",
        "Wall",
        "w",
        topics={"work", "locks", "store", "alive"},
    ),
    Screen("/ui/search", search.show, "GET /stagings"),
)


def pages_of(deps: UiDependencies) -> list[Route]:
    """Return the routes of the dashboard, for `http.app.create_app`."""
    errors = ErrorPages(deps, SCREENS)
    fragments = Fragments()
    rows = [_row(screen, deps, fragments, errors) for screen in SCREENS]
    refusals = Refusals(deps.api.limits)
    form = SignIn(deps, SCREENS, refusals)
    read, seen = {"GET": ANYBODY}, {"GET": ANYBODY, "HEAD": ANYBODY}
    readers = roles_of("GET /stagings")
    others: list[tuple[str, Mapping[str, Roles], object]] = [
        # Also determines the form of errors for unknown paths below /ui.
        ("/ui", read, UiRoot()),
        (sign_in.PATH, {**seen, "POST": ANYBODY}, form),
        (f"{sign_in.PATH}/start", read, SignInStart(deps)),
        (f"{sign_in.PATH}/callback", read, SignInCallback(deps, form, refusals)),
        ("/ui/theme", {"POST": ANYBODY}, Theme()),
        ("/ui/assets/{name}", seen, Assets()),
        ("/ui/badge", {"GET": readers, "HEAD": readers}, Badge(deps)),
        ("/ui/live", {"GET": readers}, LiveStream(deps)),
        ("/ui/audit/csv", {"GET": roles_of("GET /events")}, AuditCsv(deps)),
    ]
    rows += [Route(path, roles, _giving(made), errors=errors) for path, roles, made in others]
    # Browsers open files and folders, too: without a session they need the way to sign in.
    rows += [replace(each, errors=errors) for each in ROUTES if each.path.startswith("/static/")]
    return rows


def _giving(resource: object) -> Make:
    return lambda _: resource


def _row(screen: Screen, deps: UiDependencies, fragments: Fragments, errors: ErrorForm) -> Route:
    # Programs that request / get the API's response.
    index = next((route.make for route in ROUTES if route.path == screen.path), None)

    def make(api: AppDependencies) -> HtmlPage:
        return HtmlPage(screen, deps, SCREENS, fragments, index and index(api))

    return Route(screen.path, screen.roles, make, errors=errors)

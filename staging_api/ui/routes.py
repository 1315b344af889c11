"""The table of screens, and the routes that follow from it."""

from dataclasses import replace

from staging_api.http.dependencies import AppDependencies
from staging_api.http.limits import Refusals
from staging_api.http.permissions import ANYBODY
from staging_api.http.problems import ErrorForm
from staging_api.http.route import Route
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

#: Each screen once, in the order of the navigation.
SCREENS: tuple[Screen, ...] = (
    Screen(
        "/",
        now.show,
        "GET /stagings",
        label="Now",
        key="n",
        topics=frozenset({"work", "locks", "alive", "store"}),
    ),
    Screen(
        "/ui/builds",
        builds.show,
        "GET /artifacts",
        actions={
            "stage": STAGE,
            "stage_again": STAGE_AGAIN,
            "pin": PIN,
            "unpin": UNPIN,
            "evict": EVICT,
        },
        label="Builds",
        key="b",
        topics=frozenset({"work"}),
    ),
    Screen(
        "/ui/stagings/{staging_id}",
        stagings.show,
        "GET /stagings/{staging_id}",
        actions={"cancel": CANCEL, "stage_again": STAGE_AGAIN},
        topics=frozenset({"work"}),
    ),
    Screen(
        "/ui/locks",
        locks.show_all,
        "GET /locks",
        label="Locks",
        key="l",
        topics=frozenset({"locks"}),
    ),
    Screen(
        "/ui/locks/{lock_id}",
        locks.show_one,
        "GET /locks/{lock_id}",
        actions={"break": locks.BREAK},
        topics=frozenset({"locks", "work"}),
    ),
    Screen(
        "/ui/artifacts/{artifact_id}",
        artifacts.show,
        "GET /artifacts/{artifact_id}",
        actions={"pin": PIN, "unpin": UNPIN, "evict": EVICT},
        topics=frozenset({"work"}),
    ),
    Screen("/ui/content/{sha256}", artifacts.show_content, "GET /artifacts"),
    Screen(
        "/ui/apt",
        apt.show_all,
        "GET /distributions",
        label="APT",
        key="a",
        topics=frozenset({"apt"}),
    ),
    Screen(
        "/ui/apt/{archive}",
        apt.show_one,
        "GET /distributions/{archive}",
        actions=apt.ACTIONS,
        topics=frozenset({"apt"}),
    ),
    Screen(
        "/ui/documents",
        documents.show,
        "GET /document-buffer",
        actions={
            "commit_documents": documents.COMMIT,
            "discard_documents": documents.DISCARD,
        },
        label="Documents",
        key="d",
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
        actions={"preview": store.PREVIEW, "prune": store.PRUNE},
        label="Store",
        key="s",
        topics=frozenset({"store", "work"}),
    ),
    Screen(
        "/ui/processes",
        processes.show,
        "GET /processes",
        label="Processes",
        key="r",
        topics=frozenset({"processes", "alive"}),
    ),
    Screen(
        "/ui/catalogue",
        catalogue.show,
        "GET /catalogue",
        actions={"try": catalogue.TRY},
        label="Catalogue",
        key="c",
    ),
    Screen(
        "/ui/audit",
        audit.show,
        "GET /events",
        actions={"verify": audit.VERIFY},
        label="Audit",
        key="u",
    ),
    Screen("/ui/api", reference.show, None, label="API", key="i"),
    Screen(
        "/ui/wall",
        wall.show,
        "GET /counts",
        label="Wall",
        key="w",
        topics=frozenset({"work", "locks", "store", "alive"}),
    ),
    Screen("/ui/search", search.show, "GET /stagings"),
)


def pages_of(deps: UiDependencies) -> list[Route]:
    """Return the routes of the dashboard, for `http.app.create_app`."""
    errors = ErrorPages(deps, SCREENS)
    fragments = Fragments()
    rows = [_row(screen, deps, fragments, errors) for screen in SCREENS]
    # The form of errors of whatever is below /ui and no page, too.
    rows.append(Route("/ui", {"GET": ANYBODY}, lambda _: UiRoot(), errors=errors))
    rows += _sign_in(deps, errors)
    rows.append(Route("/ui/theme", {"POST": ANYBODY}, lambda _: Theme(), errors=errors))
    seen = {"GET": ANYBODY, "HEAD": ANYBODY}
    rows.append(Route("/ui/assets/{name}", seen, lambda _: Assets(), errors=errors))
    readers = roles_of("GET /stagings")
    badge = {"GET": readers, "HEAD": readers}
    rows.append(Route("/ui/badge", badge, lambda _: Badge(deps), errors=errors))
    live = {"GET": readers}
    rows.append(Route("/ui/live", live, lambda _: LiveStream(deps), errors=errors))
    answers = {"GET": roles_of("GET /events")}
    rows.append(Route("/ui/audit/csv", answers, lambda _: AuditCsv(deps), errors=errors))
    # A browser opens files and folders as well: where it has no session, it needs the way to one.
    rows += [replace(each, errors=errors) for each in ROUTES if each.path.startswith("/static/")]
    return rows


def _sign_in(deps: UiDependencies, errors: ErrorForm) -> list[Route]:
    refusals = Refusals(deps.api.limits)
    form = SignIn(deps, SCREENS, refusals)
    read, both = {"GET": ANYBODY}, {"GET": ANYBODY, "HEAD": ANYBODY, "POST": ANYBODY}
    came = SignInCallback(deps, form, refusals)
    return [
        Route(sign_in.PATH, both, lambda _: form, errors=errors),
        Route(f"{sign_in.PATH}/start", read, lambda _: SignInStart(deps), errors=errors),
        Route(f"{sign_in.PATH}/callback", read, lambda _: came, errors=errors),
    ]


def _row(screen: Screen, deps: UiDependencies, fragments: Fragments, errors: ErrorForm) -> Route:
    # Programs that ask for / get what the API answers there.
    index = next((route.make for route in ROUTES if route.path == screen.path), None)

    def make(api: AppDependencies) -> HtmlPage:
        return HtmlPage(screen, deps, SCREENS, fragments, index and index(api))

    return Route(screen.path, screen.roles, make, errors=errors)

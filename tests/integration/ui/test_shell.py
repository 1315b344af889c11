"""Properties of every page: headers, navigation, errors, news, assets, the `dashboard` setting."""

from pathlib import Path

from falcon.testing import TestClient

from staging_api.db.engine import Database
from staging_api.http.routes import ROUTES
from staging_api.processes.application import site_of
from staging_api.processes.services import Services
from staging_api.ui.assets import build_id
from staging_api.ui.routes import SCREENS, pages_of
from tests.integration.ui.conftest import Builds
from tests.pages import Site, process, site_over


def test_a_page_has_a_title_a_main_part_and_a_navigation_that_says_where_we_are(site: Site):
    page = site.get("/")
    assert page.status == 200
    assert page.title == "All is well: nothing runs · staging"
    assert [each.attributes["href"] for each in page.all("a", **{"aria-current": "page"})] == ["/"]


def test_a_path_that_is_no_page_is_a_page_with_the_reason(site: Site):
    page = site.get("/ui/nothing")
    assert page.status == 404
    assert "there is no /ui/nothing" in page.text


def test_a_method_that_a_page_has_not_is_refused_on_a_page(site: Site):
    assert site.post("/", {}).status == 405


def test_a_program_gets_the_same_refusal_as_a_problem(site: Site):
    answer = site.client.simulate_put("/", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json["status"]) == (405, 405)
    assert answer.json["code"] == "method_not_allowed"
    assert answer.json["detail"].startswith("/ answers GET")


def test_news_of_a_page_are_its_main_part_and_304_until_something_changes(site: Site):
    first = site.get("/", X_Live="1")
    assert first.status == 200
    assert not first.all("nav")
    assert first.headers["X-Build"] == build_id()
    same = site.client.simulate_get(
        "/",
        headers={"X-Live": "1", "Accept": "text/html", "If-None-Match": first.headers["ETag"]},
    )
    assert (same.status_code, same.content) == (304, b"")


def test_an_unchanged_page_keeps_its_etag_as_time_passes(
    site: Site, services: Services, builds: Builds
):
    """Another process, or the same one later, returns the same ETag while the rows are the same."""
    staging = builds.staged("R1")
    for path in ("/", "/ui/builds", "/ui/locks?state=all", f"/ui/stagings/{staging.id}"):
        etags = {each.get(path, X_Live="1").headers["ETag"] for each in (site, site_over(services))}
        assert len(etags) == 1, path


def test_assets_are_kept_for_ever_under_a_name_with_their_digest(site: Site):
    script, _tools = site.get("/").all("script")
    answer = site.client.simulate_get(script.attributes["src"])
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'"
    assert answer.headers["Vary"] == "Accept-Encoding"
    squeezed = site.client.simulate_get(
        script.attributes["src"], headers={"Accept-Encoding": "gzip, br"}
    )
    assert squeezed.headers["Content-Encoding"] == "gzip"
    assert len(squeezed.content) < len(answer.content)
    assert site.client.simulate_get("/ui/assets/app.js").status_code == 404


def test_the_rest_of_the_api_is_as_without_pages(services: Services):
    client = TestClient(site_of(services))
    assert client.simulate_get("/livez").json == {"status": "live"}
    answer = client.simulate_get("/api/v1.0/stagings/1")
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_no_screen_has_a_path_of_the_api_but_the_first(services: Services):
    assert services
    paths = {route.path for route in ROUTES}
    assert {screen.path for screen in SCREENS} & paths <= {"/"}


def test_without_the_dashboard_there_is_no_page(
    database_url: str, tmp_path: Path, database: Database
):
    assert database
    with process(database_url, tmp_path, dashboard=False) as made:
        client = TestClient(site_of(made))
        assert client.simulate_get("/ui").status_code == 404
        assert client.simulate_get("/ui/assets/app.css").status_code == 404


def test_every_route_of_pages_names_who_may_call_it(services: Services):
    from staging_api.processes.application import dependencies_of
    from staging_api.ui.dependencies import UiDependencies

    routes = list(pages_of(UiDependencies(dependencies_of(services), services.changes)))
    assert len(routes) > 10
    for route in routes:
        assert route.roles
        assert route.errors is not None

"""Every screen in a browser: widths, themes, keyboard, no script, hostile text, errors."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from staging_api.ui.routes import SCREENS
from tests.browser.looking import THEMES, WIDTHS, browser, tab
from tests.browser.world import World, world
from tests.databases import Migrated

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Response

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

#: Folder for a picture of each screen, for review; without it, no pictures are taken.
PICTURES = os.environ.get("STAGING_TEST_PICTURES", "")
PATHS = [screen.path for screen in SCREENS]
#: Queries with which a screen shows more.
ANSWERS = [
    "/ui/audit?question=staged-by&run=yes&p.caller=anonymous",
    "/ui/api?op=list_stagings&try=yes&p.state=staged",
    "/ui/locks?state=all&outcome=broken",
]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory, migrated: Migrated) -> Iterator[World]:
    with migrated() as url, world(tmp_path_factory.mktemp("pages"), url) as made:
        yield made


@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    with browser() as made:
        yield made


@pytest.mark.parametrize("path", [*PATHS, *ANSWERS])
def test_a_screen_is_right_at_every_size_and_in_both_themes(
    there: World, chromium: "Browser", path: str
) -> None:
    found = []
    context, shown = tab(chromium, WIDTHS[-1], THEMES[0])
    with context:
        shown.open(there.address(path))
        for theme in THEMES:
            shown.page.emulate_media(color_scheme=theme)
            for width in WIDTHS:
                shown.page.set_viewport_size({"width": width, "height": 900})
                wrong = [*shown.too_wide(), *shown.violations(of_colors=theme != THEMES[0])]
                found += [f"{width} px, {theme}: {each}" for each in wrong]
                if PICTURES:
                    name = path.strip("/").replace("/", "-") or "now"
                    file = Path(PICTURES) / f"{name}-{width}-{theme}.png"
                    shown.page.screenshot(path=file, full_page=True)
        found += shown.wrong
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", PATHS)
def test_a_screen_says_the_same_without_a_script(
    there: World, chromium: "Browser", path: str
) -> None:
    context, shown = tab(chromium, java_script_enabled=False)
    with context:
        shown.show(there.address(path))
        assert shown.page.locator("main h1").count() == 1
        assert shown.page.locator("main").inner_text().strip()
        assert shown.wrong == []


def test_news_come_by_themselves_and_leave_what_the_reader_does_alone(
    there: World, chromium: "Browser"
) -> None:
    build = there.examples["archive_url"]
    context, shown = tab(chromium)
    with context:
        shown.open(there.address("/ui/builds") + f"?u={quote(build, safe='')}")
        page = shown.page
        page.locator("#stage > summary").click()
        box = page.locator("#stage input[type=checkbox]").first
        before = box.is_checked()
        box.click()
        page.keyboard.press("Escape")
        asked = there.client.stage(build, "symbols", Prefer="respond-async").json["id"]
        row = page.locator(f"#stagings tr[data-key='{asked}']")
        row.wait_for(state="attached", timeout=60_000)
        # Hidden until its reader opens it, because it would move the others.
        assert not row.is_visible()
        assert page.locator("#stage").get_attribute("open") is not None
        assert box.is_checked() is not before
        assert page.evaluate("document.activeElement.type") == "checkbox"
        page.locator("#stagings-fresh", has_text="1 new").click()
        row.wait_for()
        assert shown.wrong == []


def test_new_rows_of_now_are_collected_until_their_reader_wants_them(
    there: World, chromium: "Browser"
) -> None:
    build = there.examples["archive_url"]
    context, shown = tab(chromium)
    with context:
        shown.open(there.address("/"))
        page = shown.page
        known = page.locator("#newest tbody tr").first.get_attribute("data-key")
        # Not the artifact of the test before, which is staged already.
        asked = there.client.stage(build, "file:added", Prefer="respond-async").json["id"]
        button = page.locator("#newest-fresh", has_text="1 new")
        button.wait_for(timeout=60_000)
        row = page.locator(f"#newest tr[data-key='{asked}']")
        assert not row.is_visible()
        assert page.locator(f"#newest tr[data-key='{known}']").is_visible()
        button.click()
        row.wait_for()
        assert not page.locator("#newest-fresh").is_visible()
        assert shown.wrong == []


def test_a_hidden_service_is_shown_as_old_news_and_comes_back(
    there: World, chromium: "Browser"
) -> None:
    context, shown = tab(chromium)
    with context:
        shown.open(there.address("/"))
        shown.page.route("**/*", lambda route: route.abort())
        shown.page.locator("#pulse[data-state=reconnecting]").wait_for(timeout=60_000)
        assert "showing" in shown.page.locator("#pulse").inner_text()
        assert shown.page.locator("main.stale").count() == 1
        shown.page.unroute("**/*")
        shown.page.locator("#pulse[data-state=live]").wait_for(timeout=60_000)
        assert shown.page.locator("main.stale").count() == 0


def test_a_stuck_lock_is_found_and_broken_by_the_keyboard_alone(
    there: World, chromium: "Browser"
) -> None:
    lock = there.examples["lock_id"]
    context, shown = tab(chromium)
    with context:
        shown.open(there.address("/"))
        page, keys = shown.page, shown.page.keyboard
        keys.press("/")
        assert page.evaluate("document.activeElement.id") == "q"
        keys.type("caller nobody")
        keys.press("Enter")
        page.wait_for_url("**/ui/search**")
        keys.press("g")
        keys.press("l")
        page.wait_for_url("**/ui/locks")
        _tab_to(page, f"/ui/locks/{lock}")
        keys.press("Enter")
        page.wait_for_url(f"**/ui/locks/{lock}")
        _tab_to(page, "reason")
        keys.type("its holder is stuck")
        _tab_to(page, "typed")
        keys.type(page.locator("label[for=typed] code").inner_text())
        keys.press("Tab")
        keys.press("Enter")
        page.wait_for_url("**done=break**")
        assert "The lock is broken" in page.locator("main").inner_text()
        assert shown.wrong == []


def _tab_to(page: Any, wanted: str) -> None:
    """Press Tab until a link or field of this name has the focus, and visibly so."""
    for _ in range(200):
        page.keyboard.press("Tab")
        found = page.evaluate(
            "(e => [e.getAttribute('href') || e.name || e.id, getComputedStyle(e).outlineStyle])"
            "(document.activeElement)"
        )
        if found[0] == wanted:
            assert found[1] != "none", f"{wanted} does not show that it has the focus"
            return
    raise AssertionError(f"{wanted} is not reached by Tab")


def test_a_page_at_rest_hears_of_news_by_its_event_stream_alone(
    there: World, chromium: "Browser"
) -> None:
    build = there.examples["archive_url"]
    context, shown = tab(chromium)
    with context:
        # A page that polls only every 30 s has stopped polling.
        shown.page.add_init_script(
            "const later = setTimeout; window.setTimeout = (act, ms, ...given) =>"
            " ms === 30000 ? (document.body.dataset.rests = '', 0) : later(act, ms, ...given);"
        )
        with shown.page.expect_response("**/ui/live?**") as opened:
            shown.open(there.address("/ui/builds") + f"?u={quote(build, safe='')}")
        assert opened.value.status == 200
        shown.page.locator("body[data-rests]").wait_for(timeout=60_000)
        asked = there.client.stage(build, "symbols", Prefer="respond-async").json["id"]
        row = shown.page.locator(f"#stagings tr[data-key='{asked}']")
        row.wait_for(state="attached", timeout=60_000)
        assert shown.wrong == []


def test_tabs_of_one_browser_leave_it_connections_for_pages(
    there: World, chromium: "Browser"
) -> None:
    context, shown = tab(chromium)
    with context:
        streams: list[str] = []

        def note(answer: "Response") -> None:
            if "/ui/live" in answer.url:
                streams.append(answer.url)

        context.on("response", note)
        shown.open(there.address("/"))
        others = [context.new_page() for _ in range(7)]
        for page in others:
            page.goto(there.address("/ui/locks"), wait_until="load")
        # Otherwise all six connections of this browser would be in use, and this would never end.
        others[-1].goto(there.address("/ui/store"), wait_until="load")
        assert others[-1].locator("h1").count() == 1
        assert 1 <= len(streams) <= 4
        assert shown.wrong == []

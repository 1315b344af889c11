"""Every screen in a browser: sizes, colours, keyboard, no script, nothing hostile or wrong."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from staging_api.ui.routes import SCREENS
from tests.browser.looking import THEMES, WIDTHS, browser, tab
from tests.browser.world import World, world
from tests.databases import Migrated

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

#: A folder for a picture of each screen, to look at; without it none are taken.
PICTURES = os.environ.get("STAGING_TEST_PICTURES", "")
PATHS = [screen.path for screen in SCREENS]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory, migrated: Migrated) -> Iterator[World]:
    with migrated() as url, world(tmp_path_factory.mktemp("pages"), url) as made:
        yield made


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as made:
        yield made


@pytest.mark.parametrize("path", PATHS)
def test_a_screen_is_right_at_every_size_and_in_both_themes(
    there: World, chromium: Browser, path: str
) -> None:
    found = []
    for theme in THEMES:
        context, shown = tab(chromium, WIDTHS[-1], theme)
        with context:
            shown.open(there.address(path))
            for width in WIDTHS:
                shown.page.set_viewport_size({"width": width, "height": 900})
                wrong = [*shown.too_wide(), *shown.violations()]
                found += [f"{width} px, {theme}: {each}" for each in wrong]
                if PICTURES:
                    name = path.strip("/").replace("/", "-") or "now"
                    file = Path(PICTURES) / f"{name}-{width}-{theme}.png"
                    shown.page.screenshot(path=file, full_page=True)
            found += shown.wrong
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", PATHS)
def test_a_screen_says_the_same_without_a_script(
    there: World, chromium: Browser, path: str
) -> None:
    context, shown = tab(chromium, java_script_enabled=False)
    with context:
        shown.show(there.address(path))
        assert shown.page.locator("main h1").count() == 1
        assert shown.page.locator("main").inner_text().strip()
        assert shown.wrong == []

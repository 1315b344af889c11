"""Take the pictures of the dashboard that docs/how-to/dashboard.md shows: `make pictures`."""

import tempfile
from pathlib import Path

from staging_api.db.embedded import running
from staging_api.db.migrate import migrate
from tests.browser.looking import browser, tab
from tests.browser.world import world
from tests.options import refuse_options

IMAGES = Path(__file__).parents[2] / "docs" / "images"
_PAGES = {
    "now": "/",
    "build": "/ui/builds?u={archive_url}",
    "staging": "/ui/stagings/{staging_id}",
    "lock": "/ui/locks/{lock_id}",
    "apt": "/ui/apt/{archive}",
    "store": "/ui/store",
}
_WIDTH, _HEIGHT = 1200, 900


def main() -> None:
    """Take the pictures, from a service with examples of all objects."""
    with tempfile.TemporaryDirectory() as name, running(Path(name) / "pg", durable=False) as server:
        migrate(server.url)
        folder = Path(name) / "service"
        folder.mkdir()
        with (
            world(folder, server.url, "does not boot", "control.boot") as there,
            browser() as chromium,
        ):
            for theme, suffix in (("light", ""), ("dark", "-dark")):
                context, shown = tab(chromium, _WIDTH, theme)
                with context:
                    for picture, path in _PAGES.items():
                        shown.open(there.address(path))
                        shown.page.wait_for_timeout(1500)
                        height = shown.page.evaluate("document.documentElement.scrollHeight")
                        height = min(height, _HEIGHT)
                        shown.page.set_viewport_size({"width": _WIDTH, "height": height})
                        file = IMAGES / f"{picture}{suffix}.png"
                        shown.page.screenshot(path=file)


if __name__ == "__main__":
    refuse_options("tests.browser.pictures", __doc__)
    main()

"""Debian's Chromium, and checks for faults of a page in it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

#: Window widths of a phone, a tablet and a desktop.
WIDTHS = (360, 768, 1440)
THEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
CHROMIUM = "/usr/bin/chromium"
TOOLS = Path(os.environ.get("STAGING_TEST_TOOLS", "/var/cache/staging-api-tests"))
#: Options without which Chromium sends requests to hosts of its maker.
_QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
#: Rules of WCAG 2.2, levels A and AA.
_RULES = {
    "type": "tag",
    "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}
#: Those of them that a change of the theme alone can violate.
_RULES_OF_COLORS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}


@contextmanager
def browser() -> Iterator["Browser"]:
    """Run a browser during the block."""
    # Imported here: the machine that collects the tests may have no browser.
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_QUIET))
        try:
            yield made
        finally:
            made.close()


@dataclass
class Tab:
    """A page, with its errors and its requests to other hosts."""

    page: "Page"
    wrong: list[str] = field(default_factory=list)
    _host: str = ""

    def __post_init__(self) -> None:
        self.page.on("console", lambda said: self._said(said.type, said.text))
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.wrong.append(f"dialog: {dialog.message}"))
        self.page.on("request", lambda request: self._asked(request.url))

    def open(self, address: str) -> None:
        """Open a page, and wait until it is displayed."""
        self.show(address)
        if self.page.evaluate("window.hostile"):
            self.wrong.append("text of others ran as a script")

    def show(self, address: str) -> None:
        """Open a page like `open`, but without scripts."""
        self._host = urlsplit(address).netloc
        answer = self.page.goto(address, wait_until="load")
        assert answer is not None
        if not answer.ok:
            self.wrong.append(f"{address} is answered by {answer.status}")

    def too_wide(self) -> list[str]:
        """Return the elements beyond the right edge of the window (the page scrolls sideways)."""
        found: list[str] = self.page.evaluate(_TOO_WIDE)
        return found

    def violations(self, *, of_colors: bool = False) -> list[str]:
        """Return the violations that axe finds: of all rules, or of those about colors."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate((TOOLS / "axe.js").read_text())
        # Describing what violates nothing as well would take twice as long.
        found: dict[str, Any] = self.page.evaluate(
            "rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})",
            _RULES_OF_COLORS if of_colors else _RULES,
        )
        return [
            f"{each['id']}: {node['html'][:160]} {node['failureSummary']}"
            for each in found["violations"]
            for node in each["nodes"]
        ]

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.wrong.append(f"{kind}: {text}")

    def _asked(self, url: str) -> None:
        if self._host and urlsplit(url).netloc != self._host:
            self.wrong.append(f"asked for {url}")


def tab(
    of: "Browser", width: int = 1440, theme: str = "light", **options: Any
) -> tuple["BrowserContext", Tab]:
    """Open a tab in its own window."""
    context = of.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if theme == "dark" else "light",
        **options,
    )
    context.set_default_timeout(60_000)
    return context, Tab(context.new_page())


_TOO_WIDE = """() => {
  const edge = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= edge) return [];
  return [...document.querySelectorAll("body *")]
    .filter(each => each.getBoundingClientRect().right > edge + 1)
    .filter(each => !each.closest("[data-scrolls], pre, .scrolls"))
    .map(each => each.outerHTML.slice(0, 120)).slice(0, 5)
    .concat([`${document.documentElement.scrollWidth} px of ${edge}`]);
}"""

"""Pages of the dashboard as a browser gets them, with checks that apply to every page."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from falcon.testing import TestClient

from staging_api.processes.application import site_of
from staging_api.processes.bootstrap import build
from staging_api.processes.services import Services
from staging_api.settings import Settings
from staging_api.ui.answering import POLICY

_VOID = {"meta", "link", "input", "br", "hr", "img"}
_SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Element:
    """An element with its attributes and the text of all its descendants."""

    tag: str
    attributes: Mapping[str, str]
    text: str = ""


@dataclass
class _Form:
    action: str
    method: str
    fields: dict[str, Any] = field(default_factory=dict)


class _Reader(HTMLParser):
    """Parser that collects elements and forms; fails on markup that no page of ours may have."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.forms: list[_Form] = []
        self._open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        assert not [name for name in given if name.startswith("on")], f"{tag} has a handler"
        assert "style" not in given, f"{tag} has a style of its own"
        if tag == "script":
            assert given.get("src", "").startswith("/ui/assets/"), "a script inside the page"
        made = Element(tag, given)
        self.elements.append(made)
        if tag == "form":
            self.forms.append(_Form(given.get("action", ""), given.get("method", "get")))
        if tag in {"input", "select", "textarea"} and self.forms and "name" in given:
            self._fill(given)
        if tag not in _VOID:
            self._open.append(made)

    def _fill(self, given: Mapping[str, str]) -> None:
        fields, name, value = self.forms[-1].fields, given["name"], given.get("value", "")
        if given.get("type") != "checkbox":
            fields[name] = value
        elif "checked" in given:
            fields[name] = [*fields.get(name, ()), value]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        ended = self._open.pop()
        assert ended.tag == tag, f"<{ended.tag}> is closed by </{tag}>"

    def handle_data(self, data: str) -> None:
        for each in self._open:
            each.text += data


@dataclass(frozen=True)
class Page:
    """One response to a browser."""

    status: int
    headers: Mapping[str, str]
    html: str
    elements: list[Element]
    forms: list[_Form]

    @property
    def title(self) -> str:
        """The title of the page."""
        return next(each.text for each in self.elements if each.tag == "title")

    @property
    def text(self) -> str:
        """The text of the main part, with whitespace collapsed."""
        main = next(each for each in self.elements if each.tag == "main")
        return " ".join(main.text.split())

    def links(self) -> list[str]:
        """The targets of the links."""
        return [each.attributes["href"] for each in self.elements if each.tag == "a"]

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Return the elements with this tag and these attributes."""
        return [
            each
            for each in self.elements
            if each.tag == tag and attributes.items() <= each.attributes.items()
        ]

    def copies(self) -> dict[str, str]:
        """Return the texts to copy, by the name of their form."""
        buttons = [e.attributes for e in self.all("button") if "data-copy-from" in e.attributes]
        texts = {each.attributes.get("id", ""): each.text for each in self.all("pre")}
        return {
            button["aria-label"].removeprefix("Copy as "): texts[button["data-copy-from"]]
            for button in buttons
        }

    def form(self, action: str) -> dict[str, Any]:
        """Return the initial fields of the form with this action."""
        return next(form.fields for form in self.forms if form.fields.get("action") == action)


@dataclass(frozen=True)
class Site:
    """A process with its pages, and the headers that the browser sends."""

    client: TestClient
    headers: Mapping[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> Page:
        """Open a page, and check what applies to every page."""
        return self._page("GET", path, headers={"Accept": "text/html", **_named(headers)})

    def post(self, path: str, fields: Mapping[str, Any], **headers: str) -> Page:
        """Submit a form of one of our pages."""
        sent = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "text/html",
            **(_named(headers) or _SAME_ORIGIN),
        }
        return self._page("POST", path, headers=sent, body=urlencode(fields, doseq=True))

    def _page(self, method: str, path: str, headers: Mapping[str, str], body: str = "") -> Page:
        # A browser does not send the fragment of a URL.
        path, _, query = path.partition("#")[0].partition("?")
        answer = self.client.simulate_request(
            method, path, query_string=query, headers={**self.headers, **headers}, body=body
        )
        return page_of(answer)


def page_of(answer: Any) -> Page:
    """Parse a response, which must be a page or a redirect to one."""
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    reader = _Reader()
    reader.feed(answer.text)
    assert not reader._open, f"open at the end: {[each.tag for each in reader._open]}"
    ids = [each.attributes["id"] for each in reader.elements if "id" in each.attributes]
    assert len(ids) == len(set(ids)), f"an id twice: {sorted(ids)}"
    return Page(answer.status_code, answer.headers, answer.text, reader.elements, reader.forms)


@contextmanager
def process(database_url: str, home: Path, **settings: Any) -> Iterator[Services]:
    """Yield the services of one process, without a server."""
    made = build(Settings.from_env(database_url=database_url, home=home, **settings))
    try:
        yield made
    finally:
        made.close()


def site_over(services: Services, **headers: str) -> Site:
    """Return the pages over these services."""
    return Site(TestClient(site_of(services)), _named(headers))


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}

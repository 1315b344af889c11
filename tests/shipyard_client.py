"""Client that sends the requests of Shipyard's library, and prints as its command line does.

Written anew from that client's requests, with the libraries that it uses: requests and
keystoneauth1. Its package is in no registry. Shipyard's own client has been run against the service
by hand, with the same results.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
import yaml
from keystoneauth1.identity import v3
from keystoneauth1.session import Session

_LEVELS = {"error": 0, "fatal": 0, "warn": 1, "warning": 1, "info": 2, "debug": 2}
_OTHER = 3


@dataclass
class ShipyardClient:
    """A client with one caller's credentials.

    Attributes:
        auth: source of a Keystone token and of the catalog.
        token: fixed token, used instead of `auth` (Shipyard's OS_AUTH_TOKEN).
        marker: context marker of the caller.
        verbosity: value sent with each request.
    """

    auth: v3.Password | v3.Token
    token: str | None = None
    marker: str | None = None
    verbosity: int = 1

    def create(
        self,
        collection: str,
        *documents: Any,
        mode: str | None = None,
        empty: bool = False,
    ) -> str:
        """Run ``create configdocs``: all files as one stream, keys sorted."""
        text = "" if empty else yaml.safe_dump_all(documents, explicit_start=True)
        query: dict[str, Any] = {"buffermode": mode}
        if empty:
            query["empty-collection"] = True
        answer = self.post(f"configdocs/{collection}", query, text)
        return _printed(answer, 201, "Configuration documents added.")

    def commit(self, *, force: bool = False, dryrun: bool = False) -> str:
        """Run ``commit configdocs``."""
        answer = self.post("commitconfigdocs", {"force": force, "dryrun": dryrun})
        done = "were not committed. Currently in dryrun mode." if dryrun else "committed."
        return _printed(answer, 200, f"Configuration documents {done}")

    def status(self, *versions: str) -> str:
        """Run ``get configdocs`` without a collection."""
        query = {"versions": list(versions) or ["committed", "buffer"]}
        answer = self.get("configdocs", query)
        if answer.status_code != requests.codes.ok:
            return _printed(answer, 200, "")
        return _table(answer.json())

    def documents(self, collection: str, version: str = "buffer", *, secrets: bool = False) -> str:
        """Run ``get configdocs --collection``."""
        return self._text(f"configdocs/{collection}", version, secrets=secrets)

    def rendered(self, version: str = "buffer", *, secrets: bool = False) -> str:
        """Run ``get renderedconfigdocs``."""
        return self._text("renderedconfigdocs", version, secrets=secrets)

    def post(
        self, path: str, query: Mapping[str, Any], data: str | None = None
    ) -> requests.Response:
        """Send a POST; an empty body has a content type, too."""
        headers = {**self._headers(), "content-type": "application/x-yaml"}
        asked = {**query, "verbosity": self.verbosity}
        url = f"{self._endpoint()}/{path}"
        return requests.post(url, data=data or {}, params=asked, headers=headers, timeout=120)

    def get(self, path: str, query: Mapping[str, Any]) -> requests.Response:
        """Send a GET."""
        asked = {**query, "verbosity": self.verbosity}
        url = f"{self._endpoint()}/{path}"
        return requests.get(url, params=asked, headers=self._headers(), timeout=120)

    def _text(self, path: str, version: str, *, secrets: bool) -> str:
        query = {"version": version, **({"cleartext-secrets": "true"} if secrets else {})}
        answer = self.get(path, query)
        return answer.text if answer.status_code == requests.codes.ok else _printed(answer, 200, "")

    def _headers(self) -> dict[str, Any]:
        token = self.token or Session(auth=self.auth).get_token()
        return {"X-Context-Marker": self.marker, "X-Auth-Token": token}

    def _endpoint(self) -> str:
        found = Session(auth=self.auth).get_endpoint(interface="public", service_type="shipyard")
        return str(found)


def _printed(answer: requests.Response, expected: int, done: str) -> str:
    if answer.status_code == requests.codes.unauthorized:
        return "Error: Command requires authentication. Check credential values"
    if answer.status_code == requests.codes.forbidden:
        return "Error: Unauthorized to perform this action."
    if answer.status_code == expected:
        return "\n".join([done, *_status("Status", answer.json())])
    return "\n".join(_status("Error", answer.json()))


def _status(word: str, shown: Mapping[str, Any]) -> list[str]:
    lines = [f"{word}: {shown['message']}", f"Reason: {shown['reason']}"]
    counts = [0, 0, 0, 0]
    for message in sorted(shown["details"]["messageList"], key=_level):
        counts[_level(message)] += 1
        lines += _message(message)
    errors, warnings, infos, other = counts
    summary = f"Errors: {errors}, Warnings: {warnings}, Infos: {infos}, Other: {other}"
    return [*lines, f"####  {summary}  ####"]


def _level(message: Mapping[str, Any]) -> int:
    named = message.get("level") or ("error" if message.get("error") else "info")
    return _LEVELS.get(named.lower(), _OTHER)


def _message(message: Mapping[str, Any]) -> list[str]:
    if message.get("kind") != "ValidationMessage":
        level = "Error" if message["error"] else str(message.get("level", "Info")).capitalize()
        return [f"- {level}: {message['message']}"]
    lines = [f"- {message['level']}: {message['name']}", f"Message: {message['message']}"]
    if message.get("diagnostic"):
        lines.append(f"Diagnostic: {message['diagnostic']}")
    lines += [f"Document: {each['schema']} - {each['name']}" for each in message["documents"]]
    return [*lines, f"Source: {message['source']}"]


def _table(collections: list[Mapping[str, Any]]) -> str:
    if not collections:
        return "None"
    last = collections[-1]
    title = (
        f"Comparing Base: {last['base_version']} (Deckhand revision {last['base_revision']})"
        f" to New: {last['new_version']} (Deckhand revision {last['new_revision']})"
    )
    names = ("collection_name", "base_status", "new_status")
    return "\n".join([title, *(", ".join(each[name] for name in names) for each in collections)])

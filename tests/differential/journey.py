"""Random journeys through the service: the same steps, drawn from a seed, for every configuration.

A step waits for what it began, so that one answer follows from those before it, however busy a
configuration is; what happens at the same time is for other tests.
"""

import json
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import urllib3

from staging_api.debian.forms import Form
from tests.builds import FULL_PAYLOAD, Objects, build
from tests.databases import Migrated
from tests.differential.plain import Plain
from tests.differential.worlds import SHAPES, Shape, World, world
from tests.documents import document, policy, secret, stream
from tests.packages import control_text, deb
from tests.service import API, STAGINGS, Answer

_JSON = {"Content-Type": "application/json"}
_YAML = {"Content-Type": "application/x-yaml"}
_FINAL = ("staged", "failed", "cancelled")
#: Of the files of a build; the last is in none.
_FILES = (
    *("update.gz", "stateful.tgz", "autotest/test_suites/control.bvt", "symbols_only"),
    *("autotest/server/control", "chromiumos_test_image.bin", "no such file"),
)
_ARTIFACTS = (
    *("full_payload", "stateful", "test_suites", "nton_payload", "mton_payload", "autotest"),
    *("firmware", "symbols", "test_image", "base_image", "control_files", "symbols_only"),
)
_MOST_TRIES = 20
_RANGES = ("bytes=0-9", "bytes=10-", "bytes=-7", "bytes=5-2", "bytes=999999999-", "bytes=0-1,4-5")


@dataclass(frozen=True)
class Step:
    """What was asked, and what two services must answer alike.

    Attributes:
        of_file: the answer is a file of the store, which a bucket serves by a link.
    """

    asked: str
    answer: dict[str, Any]
    of_file: bool = False

    def comparable(self, shape: Shape, other: "Step") -> tuple[str, dict[str, Any]]:
        """The step, without headers where another server sends them, and without news."""
        answer = self.answer
        if self.of_file and shape.bucket:
            answer = {name: answer[name] for name in ("status", "body")}
        return self.asked, _without_news(answer, other.answer) if shape.before else answer


@dataclass
class Journey:
    """One world on one journey."""

    world: World
    draw: random.Random
    steps: list[Step] = field(default_factory=list)
    stagings: list[str] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    plain: Plain = field(init=False)

    def __post_init__(self) -> None:
        self.plain = Plain(self.world.own_words())
        self.builds = [f"board-release/R17-{number}.0.0" for number in (1, 2, 3)]
        self.objects: dict[str, Objects] = {}
        for path in self.builds:
            self.objects[path] = build(path, payload_bytes=30_000)
            self.world.put(path, self.objects[path])

    def travel(self, count: int) -> list[Step]:
        """Take so many steps; gives what was answered."""
        kinds = [
            *[self.stage] * 4,
            *[self.read] * 4,
            *[self.list_something] * 2,
            *[self.change_the_source, self.pin_or_evict, self.ask_as_the_devserver] * 2,
            *[self.follow, self.ask_for_nothing, self.documents, self.packages],
        ]
        for _ in range(count):
            self.draw.choice(kinds)()
        return self.steps

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request whose answer is compared."""
        headers = dict(headers or {})
        of_file = path.startswith(("/static/", "/archive/"))
        answer = self._once_nobody_works(method, path, body, headers)
        link = answer.headers.get("Location", "")
        if of_file and answer.status == 302 and urlsplit(link).query:
            answer = _at(method, link, headers)
        said = {name: value for name, value in headers.items() if name != "Content-Type"}
        shown = self.plain.text(f"{method} {path} {said or ''}".rstrip())
        self.steps.append(
            Step(shown, self.plain.answer(answer, "store " if of_file else ""), of_file)
        )
        return answer

    def stage(self) -> None:
        wanted = self.draw.sample(_ARTIFACTS, self.draw.randint(0, 3))
        known = {"archive_url": self.url(), **({"artifacts": wanted} if wanted else {})}
        headers = self.draw.choice([{}, {"Prefer": "respond-async"}])
        body = json.dumps(known).encode()
        # Which attempt failed, and what an answer in the middle says, is a matter of time.
        answer = self._once_nobody_works("POST", STAGINGS, body, _JSON | headers)
        if answer.status not in (200, 202):
            shown = self.plain.text(f"POST {STAGINGS} {wanted}")
            self.steps.append(Step(shown, self.plain.answer(answer)))
            return
        staging = answer.json["id"]
        self.world.pods[0].client.wait(f"{STAGINGS}/{staging}", *_FINAL)
        if staging not in self.stagings:
            self.stagings.append(staging)
        found = self.ask("GET", f"{STAGINGS}/{staging}").json
        for artifact in found["artifacts"]:
            if artifact["id"] not in self.artifacts:
                self.artifacts.append(artifact["id"])

    def read(self) -> None:
        if self.draw.random() < 0.3 and self.artifacts:
            chosen = self.draw.choice(self.artifacts)
            self.ask("GET", f"{API}/artifacts/{chosen}")
            self.ask("GET", f"{API}/artifacts/{chosen}/files?limit={self.draw.randint(1, 5)}")
            return
        path = f"/static/{self.draw.choice(self.builds)}/{quote(self.draw.choice(_FILES))}"
        method = self.draw.choice(["GET", "GET", "GET", "HEAD"])
        headers = {}
        if self.draw.random() < 0.4:
            headers["Range"] = self.draw.choice(_RANGES)
        self.ask(method, path, None, headers)

    def list_something(self) -> None:
        limit = self.draw.choice([1, 2, 100])
        path = self.draw.choice(
            [
                f"{STAGINGS}?limit={limit}",
                f"{STAGINGS}?state=failed",
                f"{STAGINGS}?archive_url={quote(self.url(), safe='')}",
                f"{API}/artifacts?limit={limit}",
                f"{API}/artifacts?state=staged&name={self.draw.choice(_ARTIFACTS)}",
                f"{API}/locks?state=held",
                f"/static/{self.draw.choice(self.builds)}/",
                f"/static/{self.draw.choice(self.builds)}/autotest/?archive=tar",
                f"{API}/catalogue?archive_url={quote(self.url(), safe='')}",
            ]
        )
        self.ask("GET", path)

    def follow(self) -> None:
        if not self.stagings:
            return
        staging = self.draw.choice(self.stagings)
        answer = self.ask("GET", f"{STAGINGS}/{staging}")
        known = {"If-None-Match": answer.headers["ETag"]}
        again = self.world.send("GET", f"{STAGINGS}/{staging}", None, known)
        assert again.status == 304
        self.ask("DELETE", f"{STAGINGS}/{staging}", b"{}", _JSON)

    def change_the_source(self) -> None:
        path = self.draw.choice(self.builds)
        objects = self.objects[path]
        name = self.draw.choice(sorted(build(path, payload_bytes=30_000)))
        match self.draw.randrange(3):
            case 0:
                objects.pop(name, None)
            case 1:
                objects[name] = build(path, payload_bytes=30_000)[name]
            case 2:
                objects[FULL_PAYLOAD] = self.draw.randbytes(20_000)
        self.world.put(path, {n: each for n, each in objects.items() if n != "UPLOADED"})

    def pin_or_evict(self) -> None:
        if not self.artifacts:
            return
        path = f"{API}/artifacts/{self.draw.choice(self.artifacts)}"
        if self.draw.random() < 0.5:
            until = self.draw.choice(["2099-01-01T00:00:00Z", None])
            self.ask("POST", f"{path}/pin", json.dumps({"until": until}).encode(), _JSON)
        else:
            self.ask("DELETE", path, b'{"reason": "to see what follows"}', _JSON)

    def ask_as_the_devserver(self) -> None:
        path, url = self.draw.choice(self.builds), quote(self.url(), safe="")
        name = self.draw.choice(_ARTIFACTS)
        asked = self.draw.choice(
            [
                f"/stage?archive_url={url}&artifacts={name}",
                f"/is_staged?archive_url={url}&artifacts={name}",
                f"/controlfiles?build={path}&suite_name=bvt",
                f"/controlfiles?build={path}&control_path=autotest/test_suites/control.bvt",
                "/latestbuild?target=board-release",
                f"/list_image_dir?archive_url={url}",
                f"/locate_file?archive_url={url}&file_name=control",
            ]
        )
        if asked.startswith("/stage"):
            # As above: how long its background artifacts take is not a part of the answer.
            self.world.send("GET", asked, None, {})
            self._settle()
        self.ask("GET", asked)
        self._settle()

    def ask_for_nothing(self) -> None:
        method, path, body = self.draw.choice(
            [
                ("POST", STAGINGS, b'{"archive_url": "http://elsewhere.example/a"}'),
                ("POST", STAGINGS, b'{"archive_url": 5, "artifacts": []}'),
                ("POST", STAGINGS, b"{"),
                ("GET", f"{STAGINGS}/01ARZ3NDEKTSV4RRFFQ69G5FAV", None),
                ("GET", f"{API}/artifacts?limit=0", None),
                ("GET", f"{API}/artifacts?after=nonsense", None),
                ("PUT", STAGINGS, b"{}"),
                ("DELETE", f"{API}/locks/01ARZ3NDEKTSV4RRFFQ69G5FAV", b'{"reason": "stuck"}'),
                ("GET", "/static/../etc/passwd", None),
                ("GET", "/static/board-release/R99-1.0.0/update.gz", None),
                ("GET", "/api/v2/stagings", None),
            ]
        )
        self.ask(method, path, body, _JSON if body else {})

    def documents(self) -> None:
        name = self.draw.choice(["one", "two"])
        made = self.draw.choice([document, secret])
        body = stream(made(name, {"value": self.draw.randrange(3)}), policy())
        self.ask("POST", f"{API}/configdocs/{name}?buffermode=replace", body, _YAML)
        for path in ("configdocs", f"configdocs/{name}?version=buffer", "document-buffer"):
            self.ask("GET", f"{API}/{path}")
        if self.draw.random() < 0.7:
            self.ask("POST", f"{API}/commitconfigdocs")
            self.ask("GET", f"{API}/renderedconfigdocs?version=committed")

    def packages(self) -> None:
        archives = f"{API}/apt-archives"
        if not any(step.asked.startswith(f"POST {archives}") for step in self.steps):
            new = {"name": "example", "suites": [{"name": "stable", "architectures": ["amd64"]}]}
            self.ask("POST", archives, json.dumps(new).encode(), _JSON)
        version = f"1.{self.draw.randrange(3)}-1"
        raw = deb(control_text("hello", version, "amd64"), Form.GZ)
        name = f"hello_{version}_amd64.deb"
        where = f"{archives}/example/uploads?suite=stable&name={name}"
        self.ask("POST", where, raw, {"Content-Type": "application/octet-stream"})
        run = json.dumps({"operation": "publish-ftpmaster", "archive": "example"}).encode()
        self.ask("POST", f"{API}/publications", run, _JSON)
        for path in (
            f"pool/main/h/hello/{name}",
            "dists/stable/Release",
            "dists/stable/main/binary-amd64/Packages.gz",
        ):
            self.ask("GET", f"/archive/example/{path}")

    def url(self) -> str:
        return f"{self.world.source}/{self.draw.choice(self.builds)}"

    def _once_nobody_works(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        """Send a request, again and again while a worker holds the lock for a moment."""
        for _ in range(_MOST_TRIES):
            answer = self.world.send(method, path, body, headers)
            if answer.status != 409 or answer.json.get("code") != "lock_held":
                return answer
            time.sleep(float(answer.headers["Retry-After"]))
        raise AssertionError(f"{method} {path} met a lock {_MOST_TRIES} times: {answer.json}")

    def _settle(self) -> None:
        """Wait until nothing is in progress."""
        client = self.world.pods[0].client
        for state in ("queued", "running"):
            for each in client.get(f"{STAGINGS}?state={state}&limit=100").json["items"]:
                client.wait(f"{STAGINGS}/{each['id']}", *_FINAL)


def compare(
    names: Iterable[str], seed: int, count: int, folder: Path, migrated: Migrated
) -> list[str]:
    """Take one journey through every configuration; gives where one is not as the first.

    Of each configuration (names in SHAPES) only the first three differences: others follow.
    """
    shapes = {name: SHAPES[name] for name in names}
    with ExitStack() as stack:
        worlds = [
            stack.enter_context(world(shape, folder / str(number), migrated))
            for number, shape in enumerate(shapes.values())
        ]
        journeys = [Journey(each, random.Random(seed)) for each in worlds]
        with ThreadPoolExecutor(len(journeys)) as pool:
            taken = list(pool.map(lambda journey: journey.travel(count), journeys))
    assert len(taken[0]) >= count
    found = []
    for (name, shape), steps in zip(shapes.items(), taken, strict=True):
        pairs = zip_longest(taken[0], steps, fillvalue=Step("nothing", {"status": 0, "body": None}))
        wrong = [
            f"{name}, seed {seed}: {one[0]}: {'; '.join(_difference([*one], [*other]))}"
            for one, other in ((a.comparable(shape, b), b.comparable(shape, b)) for a, b in pairs)
            if one != other
        ]
        found += wrong[:3]
    return found


def _without_news(answer: Any, of_before: Any) -> Any:
    """An answer without the fields that the version before does not have: it may lack no others."""
    match answer, of_before:
        case (dict(), dict()):
            return {
                name: _without_news(value, of_before[name])
                for name, value in answer.items()
                if name in of_before
            }
        case (list(), list()) if len(answer) == len(of_before):
            return [_without_news(*pair) for pair in zip(answer, of_before, strict=True)]
        case _:
            return answer


def _difference(one: Any, other: Any, where: str = "") -> Iterator[str]:
    """Each place where two answers differ."""
    match one, other:
        case (dict(), dict()):
            for key in sorted({*one, *other}):
                yield from _difference(one.get(key), other.get(key), f"{where}.{key}")
        case (list(), list()) if len(one) == len(other):
            for number, (each, its) in enumerate(zip(one, other, strict=True)):
                yield from _difference(each, its, f"{where}[{number}]")
        case _:
            if one != other:
                yield f"{where}: {one!r:.200} and {other!r:.200}"


def _at(method: str, link: str, headers: Mapping[str, str]) -> Answer:
    got = urllib3.request(method, link, headers=dict(headers), retries=False)
    return Answer(got.status, got.headers, got.data)

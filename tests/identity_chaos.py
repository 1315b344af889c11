"""Callers of a pod while its identity provider is killed, hung, dripping, lying and rotated.

Three things must hold for every answer, whatever the provider does: a valid caller succeeds or is
asked to come back, nobody gets what the rules do not give, and probes answer.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from secrets import token_hex

import urllib3

from tests.issuer import Issuer, issuing, new_key
from tests.keystone_server import Answering, keystone, scoped
from tests.service import eventually
from tests.source import PATIENCE_SECONDS

RULES = "viewer:role=viewer,operator:role=operator"
KEYSTONE_RULES = "viewer:roles=reader&project_id=p,operator:roles=admin&system_scope=all"
LOCKS = "/api/v1.0/locks"
NO_LOCK = f"{LOCKS}/01JD0000000000000000000000"
#: So long a probe may take where nothing else runs: kubelet's own limit in the chart.
PROBE_SECONDS = 5.0

Headers = Mapping[str, str]


@dataclass
class World:
    """An identity provider: credentials of it, and what can become of it.

    Attributes:
        settings: of a pod that believes it.
        viewer: makes a credential of a caller who may read.
        strangers: make credentials that give nothing.
        troubles: begin a trouble, by name.
        heal: ends it.
    """

    settings: Mapping[str, str]
    viewer: Callable[[], Headers]
    strangers: tuple[Callable[[], Headers], ...]
    troubles: Mapping[str, Callable[[], None]]
    heal: Callable[[], None]


@contextmanager
def openid() -> Iterator[World]:
    """An OpenID provider."""
    with issuing() as issuer:

        def bearer(token: str) -> Headers:
            return {"Authorization": f"Bearer {token}"}

        def rotate() -> None:
            # As providers do: the key before stays until the tokens that it signed are old.
            issuer.keys = [issuer.keys[-1], new_key()]

        def heal() -> None:
            issuer.away, issuer.manner, issuer.says = False, "", None

        yield World(
            settings={
                "auth": "oidc",
                "oidc_issuer": issuer.url,
                "oidc_audience": "staging-api",
                "role_rules": RULES,
            },
            viewer=lambda: bearer(issuer.token(role="viewer")),
            strangers=(
                lambda: bearer(issuer.token(key=new_key(), role="operator")),
                lambda: bearer(issuer.token(exp=1, role="operator")),
                lambda: bearer(issuer.token(aud="another", role="operator")),
                lambda: bearer(token_hex()),
            ),
            troubles={
                "rotated": rotate,
                "away": lambda: setattr(issuer, "away", True),
                "rotated while away": lambda: (setattr(issuer, "away", True), rotate())[1],
                "hung": lambda: _rotated(issuer, "hang"),
                "dripping": lambda: _rotated(issuer, "drip"),
                "dripping the head": lambda: _rotated(issuer, "drip head"),
                "hanging up": lambda: _rotated(issuer, "hang up"),
                "lying": lambda: setattr(issuer, "says", {"keys": [{"kty": "EC"}, 7]}),
            },
            heal=heal,
        )


def _rotated(issuer: Issuer, manner: str) -> None:
    """Let there be a reason to ask it."""
    issuer.manner = manner
    issuer.keys = [issuer.keys[-1], new_key()]


@contextmanager
def openstack(config: Callable[[str], str]) -> Iterator[World]:
    """A Keystone; `config` writes the middleware's file for its address, and gives its path."""
    with keystone() as server:
        system = {"project": None, "system": {"all": True}}

        def token(*roles: str, **scope: object) -> Headers:
            text = token_hex()
            server.tokens[text] = scoped("alice", *roles, **scope)
            return {"X-Auth-Token": text}

        def wrong(answer: Callable[[Answering], None] | None) -> Callable[[], None]:
            return lambda: setattr(server, "wrong", answer)

        yield World(
            settings={
                "auth": "keystone",
                "keystone_config": config(server.url),
                "role_rules": KEYSTONE_RULES,
            },
            viewer=lambda: token("reader"),
            strangers=(
                lambda: {"X-Auth-Token": token_hex()},
                lambda: token("reader", project={"id": "q", "name": "builds", "domain": {}}),
                lambda: token("admin"),
                lambda: token(**system),
                lambda: {"X-Auth-Token": token_hex(), "X-Roles": "admin"},
            ),
            troubles={
                "failing": wrong(lambda each: each.answer(500, {})),
                "behind a proxy": wrong(lambda each: each.answer(404, "<html>")),
                "not letting us in": wrong(lambda each: each.answer(401, {"error": {}})),
                "hung": wrong(Answering.hang),
                "dripping": wrong(Answering.drip),
                "hanging up": wrong(lambda each: each.connection.close()),
                "lying": wrong(lambda each: each.answer(200, {"token": {"roles": 7}})),
            },
            heal=wrong(None),
        )


@dataclass
class Chaos:
    """Callers in threads, and what they were answered.

    Attributes:
        probe_seconds: how long a probe may take.
        answers: how often, by kind of caller, trouble and status.
        broken: answers that break a promise.
    """

    world: World
    url: str
    probe_seconds: float = PATIENCE_SECONDS
    answers: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    trouble: str = "none"
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, callers: int, rounds: int) -> None:
        """Let so many call, half of them strangers, while each trouble comes so often."""
        self.pool = urllib3.PoolManager(maxsize=callers + 2, retries=False, timeout=60)
        strangers = cycle(self.world.strangers)
        threads = [threading.Thread(target=self._repeat, args=(self._probe,))]
        for number in range(callers):
            act = self._view if number % 2 else self._intruder(next(strangers))
            threads.append(threading.Thread(target=self._repeat, args=(act,)))
        for thread in threads:
            thread.start()
        try:
            for name, begin in [*self.world.troubles.items()] * rounds:
                self._through(name, begin, 2 * callers)
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()

    def _through(self, name: str, begin: Callable[[], None], count: int) -> None:
        begin()
        self.trouble = name
        enough = self.answers.total() + count
        eventually(lambda: self.answers.total() >= enough or bool(self.broken), "no answers")
        self.world.heal()
        self.trouble = f"after {name}"
        served = self._served()
        eventually(lambda: self._served() > served, f"nobody is served after {name}")

    def _served(self) -> int:
        return sum(n for (who, _, status), n in self.answers.items() if (who, status) == ("v", 200))

    def _repeat(self, act: Callable[[], None]) -> None:
        while not self.stop.is_set():
            try:
                act()
            except urllib3.exceptions.HTTPError as error:
                self.broken.append(f"{type(error).__name__} during {self.trouble}")
                return

    def _view(self) -> None:
        answer = self.pool.request("GET", self.url + LOCKS, headers=dict(self.world.viewer()))
        self._note("v", answer, {200})

    def _intruder(self, stranger: Callable[[], Headers]) -> Callable[[], None]:
        def intrude() -> None:
            for method, path in (("GET", LOCKS), ("DELETE", NO_LOCK)):
                headers = dict(stranger())
                self._note(
                    "s", self.pool.request(method, self.url + path, headers=headers), {401, 403}
                )

        return intrude

    def _probe(self) -> None:
        for path in ("/livez", "/readyz"):
            answer = self.pool.request("GET", self.url + path, timeout=self.probe_seconds)
            self._note("p", answer, {200})
        self.stop.wait(0.05)

    def _note(self, who: str, answer: urllib3.BaseHTTPResponse, right: set[int]) -> None:
        trouble = self.trouble
        self.answers[who, trouble, answer.status] += 1
        told_to_wait = (
            answer.status in {429, 503}
            and int(answer.headers.get("Retry-After", 0)) >= 1
            and json.loads(answer.data)["retryable"]
        )
        if answer.status not in right and not (told_to_wait and who != "p"):
            self.broken.append(f"{who} got {answer.status} during {trouble}: {answer.data!r}")

"""Callers of a pod while its identity provider is dead, hung, slow, wrong or rotating its keys.

Four things must hold for every answer, whatever the provider does: a caller whose credential is
known succeeds, a caller with another valid credential succeeds or gets a Retry-After, no caller
gets a permission that the rules do not give, and probes succeed.
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
#: Longest duration of a probe on an idle machine: kubelet's own limit in the chart.
PROBE_SECONDS = 5.0
OK = 200
_LIST = ("GET", LOCKS)
#: Number of responses that each caller waits for in each trouble.
_ENOUGH = 2

Headers = Mapping[str, str]


@dataclass
class World:
    """An identity provider with credentials, and the troubles that it can have.

    Attributes:
        settings: settings of a pod that uses the provider.
        viewer: creates a credential of a caller who may read.
        strangers: create credentials that give no permission.
        troubles: functions that begin a trouble, by its name.
        heal: ends the current trouble.
    """

    settings: Mapping[str, str]
    viewer: Callable[[], Headers]
    strangers: tuple[Callable[[], Headers], ...]
    troubles: Mapping[str, Callable[[], None]]
    heal: Callable[[], None]


@contextmanager
def openid() -> Iterator[World]:
    """Yield an OpenID provider."""
    with issuing() as issuer:

        def bearer(token: str) -> Headers:
            return {"Authorization": f"Bearer {token}"}

        def rotate() -> None:
            # As providers do: the previous key stays until the tokens that it signed have expired.
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
    """Set the provider's manner, and rotate its keys so that the pod has a reason to ask it."""
    issuer.manner = manner
    issuer.keys = [issuer.keys[-1], new_key()]


@contextmanager
def openstack(config: Callable[[str], str]) -> Iterator[World]:
    """Yield a Keystone; `config` writes the middleware's file for its address, returns the path."""
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
class Caller:
    """One client with its own address, and the number of responses by status.

    Attributes:
        kind: "regular", "newcomer", "stranger" or "probe".
        act: sends one request, or several.
        answers: number of responses by trouble and status.
    """

    kind: str
    act: "Callable[[Caller], None]"
    pool: urllib3.PoolManager
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    #: Headers that a regular caller sends; the pod knows this credential.
    known: Headers | None = None

    def served(self, trouble: str) -> int:
        """Return how many of its requests succeeded in this trouble."""
        return self.answers[trouble, OK]

    def answered(self, trouble: str) -> int:
        """Return how many of its requests were answered in this trouble."""
        return sum(count for (when, _), count in list(self.answers.items()) if when == trouble)


@dataclass
class Chaos:
    """Callers in threads, and their responses.

    Regular callers send a credential that the pod has seen: they are served in every trouble.
    Newcomers send a new credential each time: they are served, or told to retry, and served once
    the trouble is over. Strangers are never served. Each caller has its own address, so that the
    limit of refusals for one caller never delays another one.

    Attributes:
        probe_seconds: longest allowed duration of a probe.
        pause_seconds: between two requests of a caller; the troubles take as long as they take.
        broken: responses that break a promise.
    """

    world: World
    url: str
    probe_seconds: float = PATIENCE_SECONDS
    pause_seconds: float = 0.02
    callers: list[Caller] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    trouble: str = "none"
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, callers: int, rounds: int) -> None:
        """Run this many callers of each kind, with this many rounds of troubles."""
        strangers = cycle(self.world.strangers)
        self._add("probe", self._probe)
        for _ in range(callers):
            self._add("regular", self._return)
            self._add("newcomer", self._come)
            self._add("stranger", self._intruder(next(strangers)))
        # Daemon threads: the test ends even if a request hangs.
        threads = [
            threading.Thread(target=self._repeat, args=(each,), daemon=True)
            for each in self.callers
        ]
        for thread in threads:
            thread.start()
        try:
            self._until("served", lambda each: self._well_treated(each, "none") > 0)
            for name, begin in [*self.world.troubles.items()] * rounds:
                self._through(name, begin)
        finally:
            self.stop.set()
            for thread in threads:
                thread.join(PATIENCE_SECONDS)

    def counts(self) -> Counter[tuple[str, str, int]]:
        """Return the number of responses by kind of caller, trouble and status."""
        counts: Counter[tuple[str, str, int]] = Counter()
        for caller in self.callers:
            for (trouble, status), count in caller.answers.items():
                counts[caller.kind, trouble, status] += count
        return counts

    def _add(self, kind: str, act: Callable[[Caller], None]) -> None:
        number = len(self.callers)
        pool = urllib3.PoolManager(
            retries=False,
            timeout=PATIENCE_SECONDS,
            source_address=(f"127.1.{number // 250}.{number % 250 + 1}", 0),
        )
        self.callers.append(Caller(kind, act, pool))

    def _through(self, name: str, begin: Callable[[], None]) -> None:
        before = {id(each): each.answered(name) for each in self.callers}
        begin()
        self.trouble = name
        self._until(
            f"answered while the provider is {name}",
            lambda each: each.answered(name) >= before[id(each)] + _ENOUGH,
        )
        self.world.heal()
        self.trouble = calm = f"after {name}"
        before = {id(each): self._well_treated(each, calm) for each in self.callers}
        # Regular callers send their next credential before the previous one expires.
        for each in self.callers:
            each.known = None
        self._until(
            f"treated well after the provider was {name}",
            lambda each: (
                self._well_treated(each, calm) > before[id(each)]
                and (each.kind != "regular" or each.known is not None)
            ),
        )

    def _well_treated(self, caller: Caller, trouble: str) -> int:
        is_stranger = caller.kind == "stranger"
        return caller.answered(trouble) if is_stranger else caller.served(trouble)

    def _until(self, what: str, true: Callable[[Caller], bool]) -> None:
        """Return once `true` holds for each caller."""

        def left() -> list[str]:
            return [f"{e.kind} {dict(e.answers)}" for e in self.callers if not true(e)]

        try:
            eventually(lambda: bool(self.broken) or not left(), what)
        except AssertionError:
            raise AssertionError(f"not {what}: {left()[:3]}") from None
        assert not self.broken, self.broken[:5]

    def _repeat(self, caller: Caller) -> None:
        try:
            while not self.stop.wait(self.pause_seconds):
                caller.act(caller)
        except Exception as error:  # noqa: BLE001 - whatever it is, a test that waits has to see it
            self.broken.append(f"{caller.kind}: {error!r} during {self.trouble}")

    def _return(self, caller: Caller) -> None:
        if caller.known is None:
            credential = self.world.viewer()
            if self._send(caller, _LIST, {OK}, credential) == OK:
                caller.known = credential
        else:
            self._send(caller, _LIST, {OK}, caller.known, may_wait=False)

    def _come(self, caller: Caller) -> None:
        self._send(caller, _LIST, {OK}, self.world.viewer())

    def _intruder(self, stranger: Callable[[], Headers]) -> Callable[[Caller], None]:
        def intrude(caller: Caller) -> None:
            for request in (_LIST, ("DELETE", NO_LOCK)):
                self._send(caller, request, {401, 403}, stranger())

        return intrude

    def _probe(self, caller: Caller) -> None:
        for path in ("/livez", "/readyz"):
            self._send(caller, ("GET", path), {OK}, {}, seconds=self.probe_seconds, may_wait=False)

    def _send(
        self,
        caller: Caller,
        request: tuple[str, str],
        right: set[int],
        credential: Headers,
        *,
        seconds: float = PATIENCE_SECONDS,
        may_wait: bool = True,
    ) -> int:
        trouble, (method, path) = self.trouble, request
        answer = caller.pool.request(
            method, self.url + path, headers=dict(credential), timeout=seconds
        )
        caller.answers[trouble, answer.status] += 1
        told_to_wait = (
            answer.status in {429, 503}
            and int(answer.headers.get("Retry-After", 0)) >= 1
            and json.loads(answer.data)["retryable"]
        )
        if answer.status not in right and not (told_to_wait and may_wait):
            self.broken.append(
                f"{caller.kind} got {answer.status} during {trouble}: {answer.data!r}"
            )
        return answer.status

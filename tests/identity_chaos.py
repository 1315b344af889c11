"""Callers of a pod while its identity provider is killed, hung, dripping, lying and rotated.

Four things must hold for every answer, whatever the provider does: a caller whose credential is
known succeeds, another valid one succeeds or gets a Retry-After, no caller gets what the rules do
not give, and probes answer.
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
OK = 200
_LIST = ("GET", LOCKS)
#: So many answers each caller waits for in each trouble.
_ENOUGH = 2
# Between two requests of a caller: the machine is not what is tested.
_PAUSE_SECONDS = 0.02

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
class Caller:
    """One client, at an address of its own, and how often it was answered with each status.

    Attributes:
        kind: "regular", "newcomer", "stranger" or "probe".
        act: sends one request, or a few.
        answers: by trouble and status.
    """

    kind: str
    act: "Callable[[Caller], None]"
    pool: urllib3.PoolManager
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    #: What a regular caller sends; the pod knows it.
    known: Headers | None = None

    def served(self, trouble: str) -> int:
        """How many of its requests succeeded in this trouble."""
        return self.answers[trouble, OK]

    def answered(self, trouble: str) -> int:
        """How many of its requests were answered in this trouble."""
        return sum(count for (when, _), count in list(self.answers.items()) if when == trouble)


@dataclass
class Chaos:
    """Callers in threads, and what they were answered.

    Regular callers send a credential that the pod has seen: they are served whatever happens.
    Newcomers send a new one each time: they are served, or asked to come back, and served once the
    trouble is over. Strangers are never served. Each has an address of its own, so that no limit
    of refusals holds up a caller for what another sent.

    Attributes:
        probe_seconds: how long a probe may take.
        broken: answers that break a promise.
    """

    world: World
    url: str
    probe_seconds: float = PATIENCE_SECONDS
    callers: list[Caller] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    trouble: str = "none"
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, callers: int, rounds: int) -> None:
        """Let so many of each kind call, while each trouble comes so often."""
        strangers = cycle(self.world.strangers)
        self._add("probe", self._probe)
        for _ in range(callers):
            self._add("regular", self._return)
            self._add("newcomer", self._come)
            self._add("stranger", self._intruder(next(strangers)))
        # Daemons: whatever becomes of a request, the test ends.
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
        """How many answers there were, by kind of caller, trouble and status."""
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
        # Regular callers come with their next credential before the one of before is too old.
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
        """Return once it is true of each caller."""

        def left() -> list[str]:
            return [f"{e.kind} {dict(e.answers)}" for e in self.callers if not true(e)]

        try:
            eventually(lambda: bool(self.broken) or not left(), what)
        except AssertionError:
            raise AssertionError(f"not {what}: {left()[:3]}") from None
        assert not self.broken, self.broken[:5]

    def _repeat(self, caller: Caller) -> None:
        try:
            while not self.stop.wait(_PAUSE_SECONDS):
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

"""Series of events that an archive may live through, and what must be true after each of them.

A seed gives two series, which happen to two archives by turns, in one database. An event of one
must not change the other, so the checks look at both. Each has three suites. Packages are few and
small, so that events meet: the same package is sent, deleted, sent again, taken back to and
reaped within ten steps.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from staging_api.publishing.signing import SigningKey
from tests.apt_archive_series import packages, runs, suites
from tests.apt_archive_series.life import PARTS, Life, fake_signature
from tests.apt_archive_series.promises import check_holds, check_kept, check_superseded, check_whole
from tests.publisher import DAY, Shop

#: How often each event comes, against the others.
EVENTS: Mapping[Callable[[Life], None], int] = {
    packages.send_binary: 8,
    packages.come_back: 1,
    packages.send_source: 5,
    packages.send_again: 4,
    packages.delete: 4,
    runs.run: 6,
    runs.rebuild: 1,
    runs.run_some: 2,
    runs.run_and_die: 1,
    suites.go_back: 3,
    suites.hold: 1,
    suites.lift: 2,
    suites.pin: 1,
    packages.outlast: 1,
    suites.describe: 1,
    suites.change_parts: 1,
    suites.change_architectures: 1,
    packages.narrow: 1,
    packages.lose_component: 1,
    suites.change_forms: 1,
    suites.change_key: 2,
    runs.expire: 1,
    runs.look: 1,
    runs.leave_one_out: 1,
    runs.let_time_pass: 2,
    runs.settle: 1,
}


def live(shop: Shop, seed: int, keys: Sequence[SigningKey | None], steps: int) -> Iterator[str]:
    """Let a series happen to each of two archives; gives what happened, step by step.

    Args:
        shop: over the database and the store.
        seed: of the series.
        keys: that the archives may be signed with.
        steps: how many events, of both together.
    """
    rng = random.Random(seed)
    contents: dict[tuple[str, str, str], bytes] = {}
    lives = [_new_life(shop, f"a{seed}-{n}", rng, keys, contents) for n in range(2)]
    weights = list(EVENTS.values())
    for step in range(steps):
        life = rng.choice(lives)
        (event,) = rng.choices(list(EVENTS), weights)
        yield f"{life.shop.name} {step}: {event.__name__}"
        event(life)
        check_holds(lives)
        check_superseded(lives)
    for life in lives:
        yield f"{life.shop.name}: the end"
        check_kept(life)
        runs.run(life)
        check_holds(lives)
        check_whole(life)


def _new_life(
    shop: Shop,
    name: str,
    rng: random.Random,
    keys: Sequence[SigningKey | None],
    contents: dict[tuple[str, str, str], bytes],
) -> Life:
    builder = shop.publisher.builder
    releaser = replace(builder.releaser, key=keys[0], sign=fake_signature)
    publisher = replace(shop.publisher, builder=replace(builder, releaser=releaser))
    own = replace(shop, name=name, publisher=publisher)
    suites = {
        suite: {"components": list(components), "architectures": list(architectures)}
        for suite, (components, architectures) in PARTS.items()
    }
    own.set_up(suites, forms=["gz"], valid_for_seconds=DAY)
    return Life(own, rng, keys, contents)

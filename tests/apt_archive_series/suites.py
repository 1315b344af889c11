"""Events of suites: held at older packages, lifted, pinned, described and signed otherwise."""

from dataclasses import replace

from staging_api.errors import Conflict
from staging_api.publishing.rows import generations
from tests.apt_archive_series.life import ARCHITECTURES, SUITES, Life
from tests.apt_archive_series.promises import plain_names


def go_back(life: Life) -> None:
    kept = life.generations()
    if not kept:
        return
    generation = life.rng.choice(kept).id
    some = tuple(life.rng.sample(SUITES, life.rng.randrange(3)))
    shown = {suite: life.index_files(suite, generation) for suite in some or SUITES}
    try:
        life.shop.hold(generation, *some)
    except Conflict:
        return
    life.held |= {suite: plain_names(files) for suite, files in shown.items() if files}


def hold(life: Life) -> None:
    if not life.generations():
        return
    suite = life.rng.choice(SUITES)
    if shown := life.index_files(suite):
        life.shop.hold(None, suite)
        life.held[suite] = plain_names(shown)


def lift(life: Life) -> None:
    some = tuple(life.rng.sample(SUITES, life.rng.randrange(3)))
    life.shop.publisher.lift(life.shop.name, some, caller="ada")
    for suite in some or SUITES:
        life.held.pop(suite, None)


def pin(life: Life) -> None:
    kept = life.generations()
    if kept:
        one, pinned = life.rng.choice(kept).id, life.rng.random() < 0.6
        with life.shop.database.begin() as conn:
            generations.set_pin(conn, one, "ada", pinned=pinned)
        (life.pinned.add if pinned else life.pinned.discard)(one)


def describe(life: Life) -> None:
    life.shop.change(label=life.rng.choice(("one", "two\xa0words", "")))
    life.shop.change(
        life.rng.choice(SUITES), description=life.rng.choice(("", "of all")), aliases=[]
    )


def change_parts(life: Life) -> None:
    suite = life.rng.choice(SUITES)
    some = life.rng.choice((("main",), ("main", "contrib"), ("contrib", "main")))
    life.shop.change(suite, components=list(some))


def change_architectures(life: Life) -> None:
    some = life.rng.choice((("amd64",), ("arm64",), ARCHITECTURES, (*ARCHITECTURES, "armhf")))
    life.shop.change(life.rng.choice(SUITES), architectures=list(some))


def change_forms(life: Life) -> None:
    forms = life.rng.choice((["gz"], ["gz", "xz"], ["plain", "gz", "zst"]))
    life.plain |= "plain" in forms
    life.shop.change(forms=forms)


def change_key(life: Life) -> None:
    builder = life.shop.publisher.builder
    releaser = replace(builder.releaser, key=life.rng.choice(life.keys))
    life.shop.publisher = replace(life.shop.publisher, builder=replace(builder, releaser=releaser))

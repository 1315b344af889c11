"""Series of events that an archive may live through, and what must be true after each of them.

A seed gives two series, which happen to two archives by turns, in one database. An event of one
must not change the other, so the checks look at both. Each has three suites. Packages are few and
small, so that events meet: the same package is sent, deleted, sent again, taken back to and
reaped within ten steps.
"""

import hashlib
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from staging_api.debian.forms import Form
from staging_api.errors import Conflict, StagingApiError
from staging_api.publishing import rows
from staging_api.publishing.model import Generation
from staging_api.publishing.signing import Signed, SigningKey, Unsigned
from tests.apt_archive_promises import (
    check_full_rebuild,
    check_holds,
    check_kept,
    check_nothing_is_left,
    check_path,
    check_whole,
    listed_in,
    plain_names,
)
from tests.factories import ORIGIN
from tests.packages import control_text, deb, dsc, source_file
from tests.publisher import DAY, Shop, find, time_passes
from tests.rows import execute, select

#: Components and architectures of each suite, at first; not all that it may get, for each index
#: file that is made costs time.
PARTS = {
    "stable": (("main", "contrib"), ("amd64", "arm64")),
    "stable-security": (("main",), ("amd64",)),
    "testing": (("contrib",), ("arm64",)),
}
SUITES = tuple(PARTS)
COMPONENTS = ("main", "contrib")
ARCHITECTURES = ("amd64", "arm64")
NAMES = ("aa", "libbb", "cc")
VERSIONS = ("1.0", "1.0-0", "0:1.0", "1.1~", "1.1", "1:0.9")
WITHOUT_KEY = ""

Files = Mapping[str, str]
Sent = Mapping[str, bytes]


class DiedError(Exception):
    """The end of a process, as its run sees it."""


def fake_signature(release: bytes, key: SigningKey | None) -> Signed | Unsigned:
    """What gpg would do, without the time that it takes."""
    if key is None:
        return Unsigned("no signing key is configured")
    name = key.fingerprint.encode()
    return Signed(b"signed by %s\n%s" % (name, release), b"signature of %s" % name)


@dataclass
class Life:
    """One archive, with what we remember of it.

    Attributes:
        held: by suite, the index files that it has to show until it is lifted.
        sent: what was sent so far, to be sent again.
        paths: by path of the pool, the digest that it had when it was first seen.
        contents: index files that were read since time passed, by archive, folder and digest;
            one for both archives, for time passes for both.
        pinned: generations that are to be kept.
        plain: whether index files could ever be had as they are.
    """

    shop: Shop
    rng: random.Random
    keys: Sequence[SigningKey | None]
    contents: dict[tuple[str, str, str], bytes]
    held: dict[str, Files] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    paths: dict[str, str] = field(default_factory=dict)
    pinned: set[str] = field(default_factory=set)
    plain: bool = False
    suites: ClassVar = SUITES

    # Events

    def send_binary(self) -> None:
        name, version = self.rng.choice(NAMES), self.rng.choice(VERSIONS)
        architecture = self.rng.choice((*ARCHITECTURES, "all"))
        source = {} if self.rng.random() < 0.5 else {"Source": "src"}
        text = control_text(name, version, architecture, **source)
        raw = deb(text, Form.GZ, holds=self.rng.choice(("one", "one", "other")))
        self._send({f"x.{self.rng.choice(('deb', 'deb', 'udeb'))}": raw})

    def narrow(self) -> None:
        """Take away the one architecture on which a package for all was still the newest."""
        name, suite = self.rng.choice(NAMES), self.rng.choice(SUITES)
        self.shop.change(suite, architectures=list(ARCHITECTURES))
        for version, architecture in (("1.0", "all"), ("1.1", "amd64")):
            raw = deb(control_text(name, version, architecture), Form.GZ, holds="one")
            self._send({"x.deb": raw}, suite)
        self.shop.run()
        self.shop.change(suite, architectures=["amd64"])

    def come_back(self) -> None:
        """Send with other bytes what has left the pool after clients saw it."""
        name, suite = self.rng.choice(NAMES), self.rng.choice(SUITES)
        one, other = (
            deb(control_text(name, "1.0", "amd64"), Form.GZ, holds=holds)
            for holds in ("one", "other")
        )
        self._send({"x.deb": one}, suite)
        self.shop.run()
        self._delete(self._see(name))
        for _ in range(2):
            self.shop.run()
            self.let_time_pass()
        self.shop.run()
        self._send({"x.deb": other}, suite)
        self.shop.run()
        self._see(name)

    def _see(self, name: str) -> list[int]:
        """Look at the files of a package that is published; gives its publications."""
        with self.shop.database.connect() as conn:
            archive = rows.find_apt_archive(conn, self.shop.name)
            found = rows.list_package_publications(
                conn, archive.id, limit=1000, state="published", package=name
            )
        for each in found:
            check_path(self, each.path, each.sha256)
        return [each.id for each in found]

    def send_source(self) -> None:
        name, version = self.rng.choice((*NAMES, "src")), self.rng.choice(("1.0-1", "1.0-2", "2-1"))
        upstream = version.partition("-")[0]
        files = {
            f"{name}_{upstream}.orig.tar.gz": b"orig",
            f"{name}_{version}.debian.tar.xz": self.rng.choice((b"one", b"one", b"other")),
        }
        text = dsc([source_file(*each) for each in files.items()], name, version)
        self._send({f"{name}_{version}.dsc": text.encode(), **files})

    def send_again(self) -> None:
        if self.sent:
            self._send(self.rng.choice(self.sent))

    def _send(self, files: Sent, suite: str | None = None) -> None:
        suite = suite or self.rng.choice(SUITES)
        component = self.rng.choice(COMPONENTS)
        try:
            self.shop.send(files, suite=suite, component=component)
        except StagingApiError:
            return
        self.sent.append(files)
        self.held.pop(suite, None)

    def delete(self) -> None:
        with self.shop.database.begin() as conn:
            archive = rows.find_apt_archive(conn, self.shop.name)
            found = rows.list_package_publications(conn, archive.id, limit=1000)
            active = [each for each in found if each.state in ("pending", "published")]
        if active:
            self._delete([self.rng.choice(active).id])

    def _delete(self, publications: Sequence[int]) -> None:
        with self.shop.database.begin() as conn:
            archive = rows.find_apt_archive(conn, self.shop.name)
            for one in publications:
                rows.delete_package_publication(conn, archive.id, one, "ada", "a mistake")

    def run_some(self) -> None:
        operation = self.rng.choice(("process-accepted", "publish-distro", "publish-ftpmaster"))
        suites = self.rng.sample(SUITES, self.rng.randrange(3))
        self.shop.run(operation, suites=tuple(suites))  # type: ignore[arg-type]

    def run_and_die(self) -> None:
        last = self.rng.choice(("begun", "publish", "dominate", "index", "release", "go_live"))
        whole = self.shop.publisher

        def reached(step: str) -> None:
            if step == last:
                raise DiedError

        self.shop.publisher = replace(whole, reached=reached)
        try:
            self.shop.run()
        except DiedError:
            pass
        finally:
            self.shop.publisher = whole

    def run(self) -> None:
        self.shop.run()

    def rebuild(self) -> None:
        self.shop.run()
        check_full_rebuild(self)

    def go_back(self) -> None:
        kept = self.generations()
        if not kept:
            return
        generation = self.rng.choice(kept).id
        some = tuple(self.rng.sample(SUITES, self.rng.randrange(3)))
        shown = {suite: self.index_files(suite, generation) for suite in some or SUITES}
        try:
            self.shop.hold(generation, *some)
        except Conflict:
            return
        self.held |= {suite: plain_names(files) for suite, files in shown.items() if files}

    def hold(self) -> None:
        if not self.generations():
            return
        suite = self.rng.choice(SUITES)
        if shown := self.index_files(suite):
            self.shop.hold(None, suite)
            self.held[suite] = plain_names(shown)

    def lift(self) -> None:
        some = tuple(self.rng.sample(SUITES, self.rng.randrange(3)))
        self.shop.publisher.lift(self.shop.name, some)
        for suite in some or SUITES:
            self.held.pop(suite, None)

    def pin(self) -> None:
        kept = self.generations()
        if kept:
            one, pinned = self.rng.choice(kept).id, self.rng.random() < 0.6
            with self.shop.database.begin() as conn:
                rows.set_pin(conn, one, "ada", pinned=pinned)
            (self.pinned.add if pinned else self.pinned.discard)(one)

    def outlast(self) -> None:
        """Pin what clients see, change it, and let retention and quarantine pass."""
        self.send_binary()
        self.shop.run()
        (live,) = (each.id for each in self.generations() if each.state == "live")
        with self.shop.database.begin() as conn:
            rows.set_pin(conn, live, "ada", pinned=True)
        self.pinned.add(live)
        self.delete()
        self.send_binary()
        for _ in range(2):
            self.shop.run()
            self.let_time_pass()
        self.shop.run()

    def describe(self) -> None:
        self.shop.change(label=self.rng.choice(("one", "two\xa0words", "")))
        self.shop.change(
            self.rng.choice(SUITES), description=self.rng.choice(("", "of all")), aliases=[]
        )

    def change_parts(self) -> None:
        suite = self.rng.choice(SUITES)
        some = self.rng.choice((("main",), ("main", "contrib"), ("contrib", "main")))
        self.shop.change(suite, components=list(some))

    def change_architectures(self) -> None:
        some = self.rng.choice((("amd64",), ("arm64",), ARCHITECTURES, (*ARCHITECTURES, "armhf")))
        self.shop.change(self.rng.choice(SUITES), architectures=list(some))

    def change_forms(self) -> None:
        forms = self.rng.choice((["gz"], ["gz", "xz"], ["plain", "gz", "zst"]))
        self.plain |= "plain" in forms
        self.shop.change(forms=forms)

    def expire(self) -> None:
        """Let most of the validity be over; a worker may look, or the next run may."""
        execute(
            self.shop.database,
            "UPDATE release_files r SET valid_until = r.valid_until - interval '16 hours'"
            " FROM suites s JOIN apt_archives a ON a.id = s.archive_id"
            " WHERE s.id = r.suite_id AND a.name = :name AND r.gone_number IS NULL",
            name=self.shop.name,
        )
        if self.rng.random() < 0.6:
            self.shop.publisher.renew(self.shop.name, ORIGIN)

    def look(self) -> None:
        """See what clients see in the middle of things."""
        check_kept(self)

    def leave_one_out(self) -> None:
        """Lift a suite and do not come to it, until what it does not have any more could go."""
        suite = self.rng.choice(SUITES)
        self.shop.publisher.lift(self.shop.name, (suite,))
        self.held.pop(suite, None)
        others = tuple(each for each in SUITES if each != suite)
        for _ in range(2):
            self.shop.change(label=f"{self.rng.random()}")
            self.shop.run(suites=others)
            self.let_time_pass()
        self.shop.run(suites=others)
        check_kept(self)

    def change_key(self) -> None:
        builder = self.shop.publisher.builder
        releaser = replace(builder.releaser, key=self.rng.choice(self.keys))
        self.shop.publisher = replace(
            self.shop.publisher, builder=replace(builder, releaser=releaser)
        )

    def let_time_pass(self) -> None:
        """More than retention and quarantine, for whatever waits for them."""
        self.contents.clear()
        time_passes(self.shop.database)

    def settle(self) -> None:
        """Keep nothing old any longer: what no index names leaves the pool, and nothing else."""
        self.shop.publisher.lift(self.shop.name)
        self.held.clear()
        with self.shop.database.begin() as conn:
            for generation in self.pinned:
                rows.set_pin(conn, generation, "ada", pinned=False)
        self.pinned.clear()
        for _ in range(2):
            self.shop.run()
            self.let_time_pass()
        self.shop.run()
        check_nothing_is_left(self)

    # Observations

    def generations(self) -> list[Generation]:
        with self.shop.database.connect() as conn:
            archive = rows.find_apt_archive(conn, self.shop.name)
            found = rows.list_generations(conn, archive.id, limit=1000, after=None)
        return [each for each in found if each.state in ("live", "retired")]

    def release(self, suite: str, generation: str | None = None) -> str:
        """The Release of a suite; empty if there is none."""
        found = find(self.shop.database, f"dists/{suite}/Release", generation, self.shop.name)
        return "" if found is None else (found.content or b"").decode()

    def kept_releases(self) -> Mapping[tuple[str, str, str], str]:
        """By generation, suite and name, the Releases of all generations that are kept.

        In one statement; clients, who see the live one, are asked for by `release`.
        """
        found = select(
            self.shop.database,
            "SELECT g.id, s.name, r.name, r.content FROM apt_archives a"
            " JOIN dists_generations g ON g.archive_id = a.id AND g.state IN ('live', 'retired')"
            " JOIN suites s ON s.archive_id = a.id"
            " JOIN release_files r ON r.suite_id = s.id AND r.first_number <= g.number"
            " AND (r.gone_number IS NULL OR r.gone_number > g.number) WHERE a.name = :name",
            name=self.shop.name,
        )
        return {(each[0], each[1], each[2]): bytes(each[3]).decode() for each in found}

    def index_files(self, suite: str, generation: str | None = None) -> Files:
        """By path, the digest of each index file of a suite, in every form, as Release has it."""
        return listed_in(self.release(suite, generation))

    def content(self, suite: str, path: str, listed: str) -> bytes | None:
        """An index file as apt gets it, checked; None for a form that is listed only."""
        digest, _, size = listed.partition(" ")
        if not (self.plain or re.search(r"\.\w+$", path)):
            return None
        folder = path.rpartition("/")[0]
        key = (self.shop.name, f"{suite}/{folder}", digest)
        if key not in self.contents:
            place = f"dists/{suite}/{folder}/by-hash/SHA256/{digest}"
            found = find(self.shop.database, place, archive=self.shop.name)
            raw = None if found is None else self.shop.bytes_of(found)
            if raw is not None:
                assert (hashlib.sha256(raw).hexdigest(), len(raw)) == (digest, int(size)), place
            elif path.endswith(".gz"):
                raise AssertionError(f"{place} is named and not there")
            else:
                return None
            self.contents[key] = raw
        return self.contents[key]


#: How often each event comes, against the others.
EVENTS: Mapping[Callable[[Life], None], int] = {
    Life.send_binary: 8,
    Life.come_back: 1,
    Life.send_source: 5,
    Life.send_again: 4,
    Life.delete: 4,
    Life.run: 6,
    Life.rebuild: 1,
    Life.run_some: 2,
    Life.run_and_die: 1,
    Life.go_back: 3,
    Life.hold: 1,
    Life.lift: 2,
    Life.pin: 1,
    Life.outlast: 1,
    Life.describe: 1,
    Life.change_parts: 1,
    Life.change_architectures: 1,
    Life.narrow: 1,
    Life.change_forms: 1,
    Life.change_key: 2,
    Life.expire: 1,
    Life.look: 1,
    Life.leave_one_out: 1,
    Life.let_time_pass: 2,
    Life.settle: 1,
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
    for life in lives:
        yield f"{life.shop.name}: the end"
        check_kept(life)
        life.run()
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


def keys_in(folder: Path) -> list[SigningKey | None]:
    """No key, and two keys that `fake_signature` signs with."""
    folder.mkdir(exist_ok=True)
    return [None, *(SigningKey(folder, name, program="true") for name in ("AAAA", "BBBB"))]

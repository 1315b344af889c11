"""Events of packages: sent, sent again, deleted, and sent with other bytes."""

from collections.abc import Sequence

from staging_api.debian.forms import Form
from staging_api.errors import StagingApiError
from staging_api.publishing.rows import apt_archives, generations, packages
from tests.apt_archive_series.life import ARCHITECTURES, COMPONENTS, SUITES, Life, Sent
from tests.apt_archive_series.promises import check_path, check_superseded
from tests.apt_archive_series.runs import let_time_pass
from tests.packages import control_text, deb, dsc, source_file

NAMES = ("aa", "libbb", "cc")
VERSIONS = ("1.0", "1.0-0", "0:1.0", "1.1~", "1.1", "1:0.9")


def send_binary(life: Life) -> None:
    name, version = life.rng.choice(NAMES), life.rng.choice(VERSIONS)
    architecture = life.rng.choice((*ARCHITECTURES, "all"))
    source = {} if life.rng.random() < 0.5 else {"Source": "src"}
    text = control_text(name, version, architecture, **source)
    raw = deb(text, Form.GZ, holds=life.rng.choice(("one", "one", "other")))
    _send(life, {f"x.{life.rng.choice(('deb', 'deb', 'udeb'))}": raw})


def send_source(life: Life) -> None:
    name, version = life.rng.choice((*NAMES, "src")), life.rng.choice(("1.0-1", "1.0-2", "2-1"))
    upstream = version.partition("-")[0]
    files = {
        f"{name}_{upstream}.orig.tar.gz": b"orig",
        f"{name}_{version}.debian.tar.xz": life.rng.choice((b"one", b"one", b"other")),
    }
    text = dsc([source_file(*each) for each in files.items()], name, version)
    _send(life, {f"{name}_{version}.dsc": text.encode(), **files})


def send_again(life: Life) -> None:
    if life.sent:
        _send(life, life.rng.choice(life.sent))


def delete(life: Life) -> None:
    with life.shop.database.begin() as conn:
        archive = apt_archives.find_apt_archive(conn, life.shop.name)
        found = packages.list_package_publications(conn, archive.id, limit=1000)
        active = [each for each in found if each.state in ("pending", "published")]
    if active:
        _delete(life, [life.rng.choice(active).id])


def narrow(life: Life) -> None:
    """Take away the one architecture on which a package for all was still the newest."""
    name, suite = life.rng.choice(NAMES), life.rng.choice(SUITES)
    life.shop.change(suite, architectures=list(ARCHITECTURES))
    for version, architecture in (("1.0", "all"), ("1.1", "amd64")):
        raw = deb(control_text(name, version, architecture), Form.GZ, holds="one")
        _send(life, {"x.deb": raw}, suite)
    life.shop.run()
    check_superseded([life])
    life.shop.change(suite, architectures=["amd64"])


def lose_component(life: Life) -> None:
    """Take away the component that has the newest version, and send an older one to the other."""
    name, suite = life.rng.choice(NAMES), life.rng.choice(SUITES)
    life.shop.change(suite, components=list(COMPONENTS))
    for version, component in (("1.1", "contrib"), ("1.0", "main")):
        raw = deb(control_text(name, version, "amd64"), Form.GZ, holds="one")
        _send(life, {"x.deb": raw}, suite, component)
        life.shop.run()
        check_superseded([life])
        life.shop.change(suite, components=["main"])


def come_back(life: Life) -> None:
    """Send with other bytes what has left the pool after clients saw it."""
    name, suite = life.rng.choice(NAMES), life.rng.choice(SUITES)
    one, other = (
        deb(control_text(name, "1.0", "amd64"), Form.GZ, holds=holds) for holds in ("one", "other")
    )
    _send(life, {"x.deb": one}, suite)
    life.shop.run()
    _delete(life, _see(life, name))
    for _ in range(2):
        life.shop.run()
        let_time_pass(life)
    life.shop.run()
    _send(life, {"x.deb": other}, suite)
    life.shop.run()
    _see(life, name)


def outlast(life: Life) -> None:
    """Pin what clients see, change it, and let retention and quarantine pass."""
    send_binary(life)
    life.shop.run()
    (live,) = (each.id for each in life.generations() if each.state == "live")
    with life.shop.database.begin() as conn:
        generations.set_pin(conn, live, "ada", pinned=True)
    life.pinned.add(live)
    delete(life)
    send_binary(life)
    for _ in range(2):
        life.shop.run()
        let_time_pass(life)
    life.shop.run()


def _send(life: Life, files: Sent, suite: str | None = None, component: str | None = None) -> None:
    suite = suite or life.rng.choice(SUITES)
    component = component or life.rng.choice(COMPONENTS)
    try:
        life.shop.send(files, suite=suite, component=component)
    except StagingApiError:
        return
    life.sent.append(files)
    life.held.pop(suite, None)


def _see(life: Life, name: str) -> list[int]:
    """Look at the files of a package that is published; gives its publications."""
    with life.shop.database.connect() as conn:
        archive = apt_archives.find_apt_archive(conn, life.shop.name)
        found = packages.list_package_publications(
            conn, archive.id, limit=1000, state="published", package=name
        )
    for each in found:
        check_path(life, each.path, each.sha256)
    return [each.id for each in found]


def _delete(life: Life, publications: Sequence[int]) -> None:
    with life.shop.database.begin() as conn:
        archive = apt_archives.find_apt_archive(conn, life.shop.name)
        for one in publications:
            packages.delete_package_publication(conn, archive.id, one, "ada", "a mistake")

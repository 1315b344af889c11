"""The corpus through the running service, out of four kinds of sources, compared byte for byte."""

import io
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.buckets import CREDENTIALS
from tests.conformance import places
from tests.corpus import families, tars, zips
from tests.corpus.case import Case
from tests.databases import Migrated
from tests.service import STAGINGS, Client, Service

CASES = {
    f"{number:03}.{form}": case
    for form, cases in (
        ("tar", [*tars.CASES, *families.TARS]),
        ("zip", [*zips.CASES, *families.ZIPS]),
    )
    for number, case in enumerate(cases)
}
HOSTILE = {
    f"hostile-{number:03}.{form}": data
    for form, hostile in (("tar", tars.HOSTILE), ("zip", zips.HOSTILE))
    for number, data in enumerate(hostile.values())
}
ARCHIVE = "corpus/one"
SCHEMES = ("file", "http", "s3", "gs")


def word(name: str, case: Case) -> str:
    """How a request names what a case selects."""
    return f"member:{name}!/{case.only or '*'}"


@pytest.fixture(scope="module")
def world(
    migrated: Migrated, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Client, dict[str, places.Place]]]:
    """One service that may read all four places, and the corpus in each of them."""
    assert len(CASES) + len(HOSTILE) >= 300
    folder, home = tmp_path_factory.mktemp("archives"), tmp_path_factory.mktemp("corpus")
    with ExitStack() as stack:
        found: dict[str, places.Place] = {
            "file": places.Folder(folder),
            "http": stack.enter_context(places.web()),
            "s3": stack.enter_context(places.s3()),
            "gs": stack.enter_context(places.gcs()),
        }
        for place in found.values():
            for name, data in [*((n, c.data) for n, c in CASES.items()), *HOSTILE.items()]:
                place.put(f"{ARCHIVE}/{name}", data)
        # A database of its own: its store is another than that of the shared one.
        url = stack.enter_context(migrated())
        yield stack.enter_context(pod_over(found, url, home)), found


@contextmanager
def pod_over(found: dict[str, places.Place], database_url: str, folder: Path) -> Iterator[Client]:
    made = Service(
        folder,
        database_url,
        *(place.root for place in found.values()),
        environment=CREDENTIALS,
        sources_s3_endpoint=str(found["s3"].options.buckets["s3"]["endpoint"]),
        sources_s3_region="us-east-1",
        sources_gs_endpoint=str(found["gs"].options.buckets["gs"]["endpoint"]),
        sources_anonymous=found["gs"].root,
    )
    try:
        yield made.api()[0].client
    finally:
        made.close()


def files_of(client: Client, staged: list[dict[str, str]]) -> dict[str, bytes]:
    """Every file of the archive, by its path below the folder of the archive."""
    folder = staged[0]["path"].removesuffix("/").rpartition("/")[0]
    answer = client.get(f"/static/{folder}/?archive=tar")
    assert answer.status == 200
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as read:
        members = {each.name.partition("/")[2]: each for each in read if each.isfile()}
        return {name: read.extractfile(each).read() for name, each in members.items()}  # type: ignore[union-attr]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_corpus_becomes_the_files_that_the_reference_tools_make_of_it(world, scheme):
    client, found = world
    url = f"{found[scheme].root}/{ARCHIVE}"
    some = {name: case for name, case in CASES.items() if case.files}
    all_names = list(some)
    # So many that no request takes a minute, on a busy machine either.
    for at in range(0, len(all_names), 25):
        names = all_names[at : at + 25]
        answer = client.stage(url, *(word(name, some[name]) for name in names))
        assert answer.status == 201, answer.json
    served = files_of(client, answer.json["artifacts"])
    expected = {
        f"{name}!/{path}": content
        for name, case in some.items()
        for path, content in case.files.items()
    }
    assert {path: served.get(path) for path in expected} == expected
    assert set(served) == set(expected)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_hostile_or_has_nothing_brings_no_file(world, scheme):
    client, found = world
    url = f"{found[scheme].root}/{ARCHIVE}"
    empty = {name: case for name, case in CASES.items() if not case.files}
    words = [
        *(word(name, case) for name, case in empty.items()),
        *map("member:{}!/*".format, HOSTILE),
    ]
    refused = client.stage(url, *words)
    assert refused.status in (404, 422), refused.json
    [staging] = client.get(f"{STAGINGS}?archive_url={url}&limit=1").json["items"]
    codes = {each["name"]: each["error"]["code"] for each in staging["artifacts"]}
    expected = {f"member:{name}!/*": "archive_unsafe" for name in HOSTILE}
    assert codes == {**expected, **{word(n, c): "artifact_not_found" for n, c in empty.items()}}

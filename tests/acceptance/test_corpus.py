"""The corpus read from four kinds of sources, compared byte for byte.

The staging engine reads all cases from a folder, and a part of them from each other source (in
`make prove`: all); the running service reads a part of the cases from each source (in `make prove`:
each case from one source).
"""

import io
import tarfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from staging_api.catalogue.model import member_kind
from staging_api.errors import StagingApiError
from staging_api.sources import open_archive
from staging_api.sources.allowlist import AllowList
from staging_api.sources.url import parse
from staging_api.staging import engine
from staging_api.store.folder_store import FolderStore
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
#: Cases with files, and the others, which are refused.
WHOLE = [name for name, case in CASES.items() if case.files]
EMPTY = [name for name, case in CASES.items() if not case.files]
ARCHIVE = "corpus/one"
SCHEMES = ("file", "http", "s3", "gs")


def word(name: str, case: Case) -> str:
    """Return the word by which a request names the selection of a case."""
    return f"member:{name}!/{case.only or '*'}"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, places.Place]]:
    """Yield the corpus in each of four sources."""
    assert len(CASES) + len(HOSTILE) >= 300
    with ExitStack() as stack:
        found: dict[str, places.Place] = {
            "file": places.Folder(tmp_path_factory.mktemp("archives")),
            "http": stack.enter_context(places.web()),
            "s3": stack.enter_context(places.s3()),
            "gs": stack.enter_context(places.gcs()),
        }
        for place in found.values():
            for name, data in [*((n, c.data) for n, c in CASES.items()), *HOSTILE.items()]:
                place.put(f"{ARCHIVE}/{name}", data)
        yield found


@pytest.fixture(scope="module")
def client(
    found: dict[str, places.Place], migrated: Migrated, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """Yield a service that may read all four sources."""
    # A database of its own, because its store is not that of the shared service.
    with migrated() as url, pod_over(found, url, tmp_path_factory.mktemp("corpus")) as client:
        yield client


@contextmanager
def pod_over(found: dict[str, places.Place], database_url: str, folder: Path) -> Iterator[Client]:
    made = Service(
        folder,
        database_url,
        *(place.root for place in found.values()),
        environment=CREDENTIALS,
        forked=True,
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
    """Return every file of the archive, by its path below the archive's folder."""
    folder = staged[0]["path"].removesuffix("/").rpartition("/")[0]
    answer = client.get(f"/static/{folder}/?archive=tar")
    assert answer.status == 200
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as read:
        members = {each.name.partition("/")[2]: each for each in read if each.isfile()}
        return {name: read.extractfile(each).read() for name, each in members.items()}  # type: ignore[union-attr]


def of_scheme(scheme: str, names: Iterable[str]) -> list[str]:
    """Return the cases that the service reads from this source: equally many of each format."""
    return list(names)[SCHEMES.index(scheme) :: len(SCHEMES)]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_corpus_becomes_the_files_that_the_reference_tools_make_of_it(found, client, scheme):
    # Every case goes through the engine below; the service adds the names, the rows and the files.
    check_by_the_service(found[scheme], client, of_scheme(scheme, WHOLE)[::5])


@pytest.mark.prove
@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_case_becomes_these_files_in_the_service(found, client, scheme):
    check_by_the_service(found[scheme], client, of_scheme(scheme, WHOLE))


def check_by_the_service(place: places.Place, client: Client, cases: list[str]) -> None:
    """Stage cases by the service; compare all files that it serves then with those of the cases."""
    url = f"{place.root}/{ARCHIVE}"
    some = {name: CASES[name] for name in cases}
    all_names = list(some)
    # Few enough that no request takes a minute, even on a busy machine.
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
    assert {path: content for path, content in served.items() if of_one(path, some)} == expected


def of_one(path: str, cases: Collection[str]) -> bool:
    """Return whether a file is of one of the cases: the archive has those of other tests, too."""
    return path.partition("!/")[0] in cases


@pytest.mark.parametrize("scheme", SCHEMES)
def test_hostile_and_empty_cases_bring_no_file(found, client, scheme):
    url = f"{found[scheme].root}/{ARCHIVE}"
    hostile, empty = of_scheme(scheme, HOSTILE), of_scheme(scheme, EMPTY)
    words = [*(word(name, CASES[name]) for name in empty), *map("member:{}!/*".format, hostile)]
    refused = client.stage(url, *words)
    assert refused.status in (404, 422), refused.json
    [staging] = client.get(f"{STAGINGS}?archive_url={url}&limit=1").json["items"]
    codes = {each["name"]: each["error"]["code"] for each in staging["artifacts"]}
    expected = {f"member:{name}!/*": "archive_unsafe" for name in hostile}
    nothing = {word(name, CASES[name]): "artifact_not_found" for name in empty}
    assert codes == {**expected, **nothing}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_case_is_the_same_out_of_a_folder_and_out_of_another_source(
    found, scheme, tmp_path, monkeypatch
):
    every = [*CASES, *HOSTILE]
    others = len(SCHEMES) - 1
    some = every if scheme == "file" else every[SCHEMES.index(scheme) - 1 :: others]
    check_by_the_engine(found[scheme], some, tmp_path, monkeypatch)


@pytest.mark.prove
@pytest.mark.parametrize("scheme", SCHEMES[1:])
def test_the_whole_corpus_is_the_same_out_of_each_source(found, scheme, tmp_path, monkeypatch):
    check_by_the_engine(found[scheme], [*CASES, *HOSTILE], tmp_path, monkeypatch)


def check_by_the_engine(
    place: places.Place, some: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stage each case with the engine; compare its files, or the error code of its refusal."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    store = FolderStore(tmp_path / "store")
    source = open_archive(
        parse(f"{place.root}/{ARCHIVE}"), AllowList.parse(place.root), place.options
    )
    names = [*CASES, *HOSTILE]

    def fetched(name: str, only: str) -> Mapping[str, bytes] | str:
        """Return the files by path, or the error code of the refusal."""
        kind = member_kind(f"{name}!/{only or '*'}")
        assert kind is not None
        try:
            artifact = engine.fetch(kind, source, "one", store, names=names)
        except StagingApiError as error:
            return error.code
        assert artifact is not None
        engine.forget(artifact, store)
        return {
            each.path.removeprefix(f"{name}!/"): store.path(each.sha256).read_bytes()
            for each in artifact.files
        }

    wanted: dict[str, Mapping[str, bytes] | str] = {
        **{name: CASES[name].files for name in WHOLE},
        **dict.fromkeys(EMPTY, "artifact_not_found"),
        **dict.fromkeys(HOSTILE, "archive_unsafe"),
    }
    only = {name: case.only for name, case in CASES.items()}
    assert {name: fetched(name, only.get(name, "")) for name in some} == {
        name: wanted[name] for name in some
    }
    source.close()

"""Equal results of folders and service for the same documents: findings, renderings, changes.

A set is files by their names: ``collection/file.yaml``. Offline, the command line reads a folder;
each collection of the folder is posted by the command line's code, and validated by a dry run of
the commit.
"""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from staging_api.cli import main
from staging_api.cli.documents import folders
from staging_api.cli.documents.messages import diagnostic_of
from staging_api.cli.documents.posted import PostedText, read_files
from staging_api.documents import showing
from staging_api.documents.model import Fault
from staging_api.documents.text import dump
from staging_api.documents.validation import checks
from tests.document_sets import SECRET, data_schema, doc, policy, secret, sub
from tests.documents import DocumentApi
from tests.drawn_documents import sets

Files = Mapping[str, Sequence[Any] | str]

BUILDS = "staging/Builds/v1"
BASE = doc("base", {"a": {"b": 1}, "t": "x"}, labels={"p": "base"})
CHILD = doc("child", {"c": [2]}, layer="site", parent={"p": "base"})
TAKER = doc(
    "taker",
    {"url": "http://PASS@x"},
    layer="site",
    subs=[
        sub("pass", {"path": ".url", "pattern": "PASS"}, schema=SECRET),
        sub("child", ".from_child"),
    ],
)

GOOD: Mapping[str, Files] = {
    "one document": {"a/1.yaml": [policy(), doc("one", {"x": 1})]},
    "layers, sources and secrets": {
        "base/1.yaml": [policy(), BASE],
        "site/1.yaml": [CHILD, TAKER],
        "secrets/1.yaml": [secret("pass"), secret("other", "trout")],
    },
    "several files of one collection": {
        "a/1.yaml": [policy()],
        "a/deep/2.yml": [BASE, CHILD],
        "b/1.yaml": [TAKER],
        "b/2.yaml": dump([secret("pass")]).removeprefix("---\n"),
    },
    "a replacement from another collection": {
        "a/1.yaml": [policy(), doc("same", {"x": 1}, labels={"p": "s"}), CHILD, BASE],
        "b/1.yaml": [
            doc("same", {"y": "x: 0644"}, layer="site", parent={"p": "s"}, replacement=True),
            doc("hidden", {"z": "\u00e4\U0001f600"}, abstract=True),
        ],
    },
    "a schema that is kept, and builds": {
        "a/1.yaml": [policy(), data_schema("site/Thing/v1", {"required": ["x"]})],
        "b/1.yaml": [
            doc("thing", {"x": "yes", "y": ["on", "1e3", None]}),
            doc("builds", {"builds": [{"archive_url": "gs://b/c/d"}]}, schema=BUILDS),
        ],
    },
}

_LABELS = {"p": "twin"}
FAULTY: Mapping[Fault, Files] = {
    Fault.INVALID_YAML: {"a/1.yaml": [policy()], "b/1.yaml": "a: 1\na: 2\n---\nb: [\n"},
    Fault.LIMIT_EXCEEDED: {"a/1.yaml": [policy()], "b/1.yaml": "a: " + "[" * 200},
    Fault.INVALID_DOCUMENT_FORMAT: {
        "a/1.yaml": [policy(), BASE],
        "b/1.yaml": [{**doc("one", 1), "schema": "no schema"}, {"schema": "site/Thing/v1"}],
    },
    Fault.DUPLICATE_DOCUMENT: {"a/1.yaml": [policy(), BASE, CHILD, BASE]},
    Fault.LAYERING_POLICY_NOT_FOUND: {"a/1.yaml": [BASE], "b/1.yaml": [CHILD]},
    Fault.LAYERING_POLICY_NOT_UNIQUE: {"a/1.yaml": [policy(), BASE, policy(name="second")]},
    Fault.INVALID_DOCUMENT_LAYER: {
        "a/1.yaml": [policy(), BASE],
        "b/1.yaml": [CHILD, doc("lost", 1, layer="moon"), doc("too", 1, layer="sun")],
    },
    Fault.INVALID_DOCUMENT_PARENT: {
        "a/1.yaml": [policy(), doc("other", {}, schema="site/Other/v1", labels={"p": "o"})],
        "b/1.yaml": [doc("orphan", {}, layer="site", parent={"p": "o"})],
    },
    Fault.INDETERMINATE_DOCUMENT_PARENT: {
        "a/1.yaml": [policy(), doc("one", {}, labels=_LABELS), doc("two", {}, labels=_LABELS)],
        "b/1.yaml": [doc("torn", {}, layer="site", parent=_LABELS)],
    },
    Fault.INVALID_DOCUMENT_REPLACEMENT: {
        "a/1.yaml": [policy(), BASE],
        "b/1.yaml": [doc("alone", {}, replacement=True)],
    },
    Fault.MISSING_DOCUMENT_KEY: {
        "a/1.yaml": [policy(), BASE],
        "b/1.yaml": [
            doc("child", {}, layer="site", parent={"p": "base"}, actions=[("delete", ".none")])
        ],
    },
    Fault.SUBSTITUTION_DEPENDENCY_CYCLE: {
        "a/1.yaml": [policy(), doc("one", {}, subs=[sub("two", ".x")])],
        "b/1.yaml": [doc("two", {}, subs=[sub("one", ".x")])],
    },
    Fault.SUBSTITUTION_SOURCE_NOT_FOUND: {"a/1.yaml": [policy(), BASE], "b/1.yaml": [TAKER]},
    Fault.SUBSTITUTION_SOURCE_DATA_NOT_FOUND: {
        "a/1.yaml": [policy(), BASE],
        "b/1.yaml": [doc("taker", {}, subs=[sub("base", ".x", path=".a.none")])],
    },
    Fault.INVALID_SUBSTITUTION: {
        "a/1.yaml": [policy(), secret("pass")],
        "b/1.yaml": [
            doc("t", {"n": 1}, subs=[sub("pass", {"path": ".n", "pattern": "X"}, schema=SECRET)])
        ],
    },
    Fault.PATTERN_WITHOUT_MATCH: {
        "a/1.yaml": [policy(), BASE],
        "b/1.yaml": [
            doc("t", {"t": "x"}, subs=[sub("base", {"path": ".t", "pattern": "NO"}, path=".t")])
        ],
    },
    Fault.INVALID_DATA_SCHEMA: {
        "a/1.yaml": [policy(), BASE],
        "b/1.yaml": [data_schema("site/Thing/v1", {"type": "hippo", "required": 1})],
    },
    Fault.INVALID_DATA: {
        "a/1.yaml": [policy(), data_schema("site/Thing/v1", {"required": ["x"]})],
        "b/1.yaml": [
            doc("one", {"y": 1}),
            doc("builds", {"builds": [{"archive_url": 1, "artifacts": "a"}]}, schema=BUILDS),
            doc("pass", {"not": "a text"}, schema=SECRET, policy="encrypted"),
        ],
    },
}

#: Documents that a revision can hold only once, in two collections: the second post is refused.
EXCLUDED: Mapping[str, Files] = {
    "one document": {"a/1.yaml": [policy(), BASE], "b/1.yaml": [CHILD, BASE]},
    "one name on two layers": {
        "a/1.yaml": [policy(), BASE],
        "b/1.yaml": [doc("base", {}, layer="site")],
    },
    "two policies": {"a/1.yaml": [policy(), BASE], "b/1.yaml": [policy(name="second")]},
}


class Said(NamedTuple):
    """One finding, in a form common to both sides."""

    place: str
    message: str
    level: str
    documents: tuple[tuple[str, str, str], ...]
    path: str


def write(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else dump(content))
    return folder


def offline(*words: object) -> tuple[object, str]:
    """Run the command line in this process; return exit code and standard output."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()), pytest.raises(SystemExit) as ended:
        main(["documents", *map(str, words)])
    return ended.value.code, out.getvalue()


def said_offline(folder: Path) -> list[Said]:
    code, out = offline("lint", folder, "--json")
    findings = json.loads(out)["findings"]
    assert code == (4 if any(each["level"] == "Error" for each in findings) else 0)
    return sorted(
        Said(
            f"{each['file']}:{each['line']}" if each["file"] and each["line"] else "",
            f"{each['fault']}: {each['message']}",
            each["level"],
            _named(each["documents"]),
            each["path"],
        )
        for each in findings
    )


def said_by_service(site: DocumentApi, folder: Path) -> list[Said]:
    """Return the errors of posting; if there are none, the findings of a dry run of the commit."""
    refused, posted = post(site, folder)
    if refused:
        return refused
    answer = site.commit(dryrun="true").json
    messages = answer["details"]["messageList"]
    failed = any(each["error"] for each in messages)
    assert (answer["status"], failed) in {("Failure", True), ("Success", False)}
    return sorted(_said(each, posted) for each in messages)


def post(site: DocumentApi, folder: Path) -> tuple[list[Said], dict[str, PostedText]]:
    """Post every collection of a folder into an empty buffer."""
    site.ask("DELETE", "/document-buffer")
    refused: list[Said] = []
    posted = {each.name: read_files([str(each)]) for each in sorted(folder.iterdir())}
    for collection, text in posted.items():
        answer = site.post_text(collection, text.text, buffermode="append")
        if answer.status != 201:
            own = {collection: text}
            messages = answer.json["details"]["messageList"]
            refused += (_said(each, own) for each in messages)
    return sorted(refused), posted


def _said(message: Mapping[str, Any], posted: Mapping[str, PostedText]) -> Said:
    diagnostic = diagnostic_of(message)
    collection = diagnostic.get("collection", next(iter(posted)))
    line = diagnostic.get("line")
    return Said(
        "" if line is None else posted[collection].place(line),
        message["message"],
        message.get("level", "Error"),
        _named(message.get("documents", ())),
        diagnostic.get("path", ""),
    )


def _named(documents: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str, str], ...]:
    return tuple((each["schema"], each.get("layer") or "", each["name"]) for each in documents)


def check_both(site: DocumentApi, folder: Path) -> list[Said]:
    """Compare the service with the offline result: all findings, and every rendered byte."""
    found = said_offline(folder)
    assert said_by_service(site, folder) == found
    for options, query in (([], {}), (["--cleartext-secrets"], {"cleartext_secrets": "true"})):
        code, text = offline("render", folder, *options)
        answer = site.get("/renderedconfigdocs", version="buffer", **query)
        assert (code == 0) == (answer.status == 200)
        if code == 0:
            assert answer.body == text.encode()
    return found


@pytest.mark.parametrize("name", GOOD)
def test_good_sets_are_rendered_to_the_same_bytes(
    site: DocumentApi, tmp_path: Path, name: str
) -> None:
    assert check_both(site, write(tmp_path / "set", GOOD[name])) == []
    assert offline("render", tmp_path / "set")[0] == 0


@pytest.mark.parametrize("fault", FAULTY)
def test_each_fault_is_found_by_both_in_the_same_words(
    site: DocumentApi, tmp_path: Path, fault: Fault
) -> None:
    folder = write(tmp_path / "set", FAULTY[fault])
    found = said_offline(folder)
    assert any(each.message.startswith(f"{fault.value}: ") for each in found)
    if fault is Fault.INVALID_DOCUMENT_FORMAT:
        assert len(found) > 1
    assert said_by_service(site, folder) == found
    warning = fault is Fault.PATTERN_WITHOUT_MATCH
    assert {each.level for each in found} == {"Warning" if warning else "Error"}
    rendered = warning or fault in {Fault.INVALID_DATA, Fault.INVALID_DATA_SCHEMA}
    assert offline("render", folder)[0] == (0 if rendered else 4)


def test_there_is_a_set_for_each_fault() -> None:
    assert set(FAULTY) == set(Fault)


@pytest.mark.parametrize("name", EXCLUDED)
def test_both_refuse_what_two_collections_cannot_have(
    site: DocumentApi, tmp_path: Path, name: str
) -> None:
    folder = write(tmp_path / "set", EXCLUDED[name])
    [found] = said_offline(folder)
    [refused], _ = post(site, folder)
    (schema, _, named), *_ = found.documents
    assert f"[{schema}, {named}]" in refused.message
    assert found.place.startswith(f"{folder / 'b' / '1.yaml'}:")
    assert f"{folder / 'a' / '1.yaml'}:" in found.message
    assert "collection 'a'" in refused.message


@pytest.mark.parametrize(("old", "new"), list(permutations(list(GOOD)[:4], 2)))
def test_differences_of_two_sets_are_the_same(
    site: DocumentApi, tmp_path: Path, old: str, new: str
) -> None:
    numbers = []
    for side in (old, new):
        folder = write(tmp_path / side / "set", GOOD[side])
        assert post(site, folder)[0] == []
        numbers.append(site.ask("GET", "/document-buffer").json["revision"])
    for options in ([], ["--rendered"], ["--rendered", "--cleartext-secrets"]):
        query = {each.removeprefix("--"): "true" for each in options}
        if "cleartext-secrets" in query:
            query["cleartext_secrets"] = query.pop("cleartext-secrets")
        answer = site.get(
            "/document-differences", old=numbers[0], new=numbers[1], limit=1000, **query
        )
        code, out = offline(
            "diff", tmp_path / old / "set", tmp_path / new / "set", "--json", *options
        )
        assert answer.json["changes"] == json.loads(out)["changes"]
        assert (code, answer.json["next"]) == (1, None)


@given(values=sets(), data=st.data())
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_random_documents_have_equal_results_on_both_sides(
    site: DocumentApi,
    tmp_path_factory: pytest.TempPathFactory,
    values: list[dict[str, Any]],
    data: st.DataObject,
) -> None:
    homes = [data.draw(st.sampled_from(["a", "b", "c"])) for _ in values]
    files: dict[str, list[Any]] = {}
    for home, value in zip(homes, values, strict=True):
        files.setdefault(f"{home}/1.yaml", []).append(value)
    check_both(site, write(tmp_path_factory.mktemp("drawn"), files))


def _unmasked(rendered: Any, _rendering: object) -> Any:
    return rendered.value


@pytest.mark.parametrize(
    "altered",
    [
        pytest.param((folders, "redacted", _unmasked), id="offline shows secrets"),
        pytest.param((showing, "redacted", _unmasked), id="the service shows secrets"),
        pytest.param((folders, "dump", lambda values: dump(values) + "\n"), id="another byte"),
    ],
)
def test_an_altered_half_is_noticed(
    site: DocumentApi,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    altered: tuple[Any, str, Callable[..., Any]],
) -> None:
    folder = write(tmp_path / "set", GOOD["layers, sources and secrets"])
    monkeypatch.setattr(*altered)
    with pytest.raises(AssertionError):
        check_both(site, folder)


def test_a_check_that_one_half_lacks_is_noticed(
    site: DocumentApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "set", FAULTY[Fault.INVALID_DATA])
    found = said_by_service(site, folder)
    monkeypatch.setattr(checks, "_wrong_builds", lambda _: ())
    assert said_offline(folder) != found

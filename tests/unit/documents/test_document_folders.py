"""Folders of documents: check, render, compare and explain without a server."""

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from staging_api.cli import main
from staging_api.cli.documents import folders as document_folders
from staging_api.documents.text import dump
from staging_api.errors import Invalid, NotFound
from tests.document_sets import SECRET, doc, policy, secret, sub


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Create a folder with two collections, and one document beside them."""
    folder = tmp_path / "site"
    write(folder / "policy.yaml", policy())
    write(folder / "base" / "deep" / "parent.yml", doc("base", {"a": 1}, labels={"is": "p"}))
    child = doc("child", {"b": 2}, layer="site", parent={"is": "p"})
    child["metadata"]["substitutions"] = [sub("pass", ".password", schema=SECRET)]
    write(folder / "local" / "child.yaml", child)
    write(folder / "local" / "secret.yaml", secret("pass", "swordfish"))
    (folder / "local" / "notes.txt").write_text("no document")
    return folder


def write(file: Path, *values: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dump(values))


def run(capsys: pytest.CaptureFixture[str], verb: Any, *arguments: Any, **options: Any) -> Any:
    """Run a verb; return its exit code, its output, and its standard error."""
    code = 0
    try:
        verb(*arguments, **options)
    except typer.Exit as ended:
        code = ended.exit_code
    out, err = capsys.readouterr()
    return code, out, err


def test_lint_of_a_sound_folder(site, capsys):
    code, out, _ = run(capsys, document_folders.lint, site, as_json=False)
    assert (code, out) == (0, "0 errors, 0 warnings\n")


def test_lint_names_file_line_document_and_field(site, capsys):
    text = dump([doc("bad", {}, layer="moon")])
    (site / "local" / "bad.yaml").write_text(text)
    code, out, _ = run(capsys, document_folders.lint, site, as_json=False)
    line = text.splitlines().index("    layer: moon") + 1
    assert code == 4
    assert out.startswith(f"{site / 'local' / 'bad.yaml'}:{line}: error: InvalidDocumentLayer: ")
    assert "site/Thing/v1 bad on layer moon, .metadata.layeringDefinition.layer: " in out


def test_one_file_or_standard_input_stands_for_a_folder(site, tmp_path, capsys, monkeypatch):
    text = dump([policy(), doc("bad", {}, layer="moon")])
    file = tmp_path / "bad.txt"
    file.write_text(text)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    line = text.splitlines().index("    layer: moon") + 1
    for given in (str(file), "-"):
        code, out, _ = command(capsys, "lint", given)
        assert code == 4
        assert out.startswith(f"{given}:{line}: error: InvalidDocumentLayer: ")
    one = site / "local" / "secret.yaml"
    assert "collection secret\n" in command(capsys, "diff", one, site / "policy.yaml")[1]


def test_lint_finds_the_faults_of_all_files(site, capsys):
    (site / "one.yaml").write_text("a: 1\na: 2\n")
    (site / "two.yaml").write_text("a: [\n")
    (site / "three.yaml").write_bytes(b"\xff")
    code, out, _ = run(capsys, document_folders.lint, site, as_json=True)
    found = {Path(each["file"]).name: each["line"] for each in json.loads(out)["findings"]}
    assert code == 4
    assert found == {"one.yaml": 2, "two.yaml": 2, "three.yaml": 1}


def test_lint_names_both_files_of_a_document_that_is_there_twice(site, capsys):
    first = site / "base" / "deep" / "parent.yml"
    write(site / "base" / "second.yaml", doc("other", 1), doc("base", {"a": 2}))
    code, out, _ = run(capsys, document_folders.lint, site, as_json=False)
    assert code == 4
    [line, _] = out.splitlines()
    assert line.startswith(f"{site / 'base' / 'second.yaml'}:")
    assert "DuplicateDocument" in line
    assert str(first) in line


def test_a_warning_alone_is_no_failure(site, capsys):
    one = doc("w", {"t": "x"}, subs=[sub("base", {"path": ".t", "pattern": "NO"}, path=".a")])
    write(site / "local" / "w.yaml", one)
    code, out, _ = run(capsys, document_folders.lint, site, as_json=False)
    assert code == 0
    assert "warning: PatternWithoutMatch" in out
    assert out.endswith("0 errors, 1 warnings\n")


def test_render_masks_secrets_unless_requested(site, capsys):
    options = {"as_json": False}
    code, out, _ = run(capsys, document_folders.render_folder, site, secrets=False, **options)
    values = {each["metadata"]["name"]: each["data"] for each in yaml.safe_load_all(out)}
    assert code == 0
    assert values["child"] == {"a": 1, "b": 2, "password": "REDACTED"}
    assert "swordfish" not in out
    _, out, _ = run(capsys, document_folders.render_folder, site, secrets=True, **options)
    assert "swordfish" in out


def test_render_of_what_cannot_be_rendered_says_why(site, capsys):
    (site / "policy.yaml").unlink()
    code, out, err = run(capsys, document_folders.render_folder, site, secrets=False, as_json=False)
    assert (code, out) == (4, "")
    assert "LayeringPolicyNotFound" in err


def test_diff_of_posted_and_of_rendered_documents(site, tmp_path, capsys):
    other = tmp_path / "other" / "site"
    shutil.copytree(site, other)
    write(other / "base" / "deep" / "parent.yml", doc("base", {"a": 5}, labels={"is": "p"}))
    options = {"unified": False, "secrets": False, "as_json": False}
    code, out, _ = run(capsys, document_folders.diff, site, other, rendered=False, **options)
    assert code == 1
    assert out == (
        "collection base\n  modified site/Thing/v1 base on layer global\n    ~ .data.a: 1 -> 5\n"
    )
    code, out, _ = run(capsys, document_folders.diff, site, other, rendered=True, **options)
    assert "collection local\n  modified site/Thing/v1 child on layer site\n" in out
    options["unified"] = True
    code, out, _ = run(capsys, document_folders.diff, site, other, rendered=False, **options)
    assert "    -  a: 1\n    +  a: 5\n" in out
    code, out, _ = run(capsys, document_folders.diff, site, site, rendered=True, **options)
    assert (code, out) == (0, "")


def test_diff_as_json(site, tmp_path, capsys):
    other = tmp_path / "other" / "site"
    shutil.copytree(site, other)
    (other / "local" / "child.yaml").unlink()
    code, out, _ = run(
        capsys,
        document_folders.diff,
        site,
        other,
        rendered=False,
        unified=False,
        secrets=False,
        as_json=True,
    )
    [change] = json.loads(out)["changes"]
    assert code == 1
    assert (change["change"], change["document"]["name"]) == ("deleted", "child")


def test_why_names_where_a_value_came_from(site, capsys):
    verb = document_folders.explain
    _, out, _ = run(capsys, verb, site, "site/Thing/v1", "child", ".a", as_json=False)
    assert out == (
        ".a  site/Thing/v1 base on layer global .a  by layeringDefinition.parentSelector of child\n"
    )
    _, out, _ = run(capsys, verb, site, "site/Thing/v1", "child", ".password", as_json=True)
    [origin] = json.loads(out)["origins"]
    assert (origin["document"]["name"], origin["secret"]) == ("pass", True)


def test_why_refuses_a_path_that_does_not_exist(site):
    verb = document_folders.explain
    with pytest.raises(NotFound):
        verb(site, "site/Thing/v1", "nothing", ".", as_json=False)
    with pytest.raises(NotFound):
        verb(site, "site/Thing/v1", "child", ".nowhere", as_json=False)
    with pytest.raises(Invalid):
        verb(site, "site/Thing/v1", "child", ".a[*]", as_json=False)
    with pytest.raises(NotFound):
        verb(site / "nowhere", "site/Thing/v1", "child", ".", as_json=False)


def test_uses_names_what_a_change_touches(site, capsys):
    verb = document_folders.show_users
    _, out, _ = run(capsys, verb, site, "site/Thing/v1", "base", as_json=False)
    assert out == "site/Thing/v1 child on layer site\n"
    _, out, _ = run(capsys, verb, site, SECRET, "pass", as_json=True)
    assert [each["name"] for each in json.loads(out)["users"]] == ["child"]
    with pytest.raises(NotFound):
        verb(site, "site/Thing/v1", "nothing", as_json=False)


def test_findings_of_rendering_never_show_a_secret(site, capsys):
    one = doc("bad", {"t": 1}, subs=[sub("pass", {"path": ".t", "pattern": "X"}, schema=SECRET)])
    write(site / "local" / "bad.yaml", one)
    _, out, _ = run(capsys, document_folders.lint, site, as_json=True)
    assert "InvalidSubstitution" in out
    assert "swordfish" not in out


def command(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[object, str, str]:
    """Run the command line in this process."""
    with pytest.raises(SystemExit) as ended:
        main(["documents", *map(str, words)])
    return (ended.value.code, *capsys.readouterr())


def test_documents_are_compared_by_members_and_by_lines_if_asked(tmp_path, capsys):
    for folder, value in (("old", 1), ("new", 2)):
        write(
            tmp_path / folder / "site" / "a.yaml",
            policy(),
            doc("one", {"a": value}),
            doc("two", {}),
        )
    both = (tmp_path / "old", tmp_path / "new")
    code, members, _ = command(capsys, "diff", *both)
    assert (code, members.splitlines()[-1]) == (1, "    ~ .data.a: 1 -> 2")
    code, lines, _ = command(capsys, "diff", *both, "--unified")
    assert code == 1
    assert "    -  a: 1\n    +  a: 2\n" in lines
    assert ".data.a" not in lines
    assert "two" not in members + lines


def test_the_command_line_needs_no_server_for_folders(site, capsys):
    child = ("site/Thing/v1", "child")
    assert command(capsys, "lint", site)[:2] == (0, "0 errors, 0 warnings\n")
    assert "REDACTED" in command(capsys, "render", site)[1]
    assert "swordfish" in command(capsys, "render", site, "--cleartext-secrets")[1]
    assert command(capsys, "diff", site, site, "--rendered")[:2] == (0, "")
    assert "child" in command(capsys, "diff", site, site.parent, "--unified")[1]
    assert "base" in command(capsys, "why", *child, ".a", "--folder", site)[1]
    assert "child" in command(capsys, "uses", "site/Thing/v1", "base", "--folder", site)[1]
    assert command(capsys, "why", *child, ".a[*]", "--folder", site)[0] == 4
    assert command(capsys, "lint", site / "nowhere")[0] == 5
    assert command(capsys, "diff", site)[0] == 2
    assert command(capsys, "create", "c", "--folder", site)[0] == 2

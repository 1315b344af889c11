"""Catalogue: the built-in one for Chromium OS, and errors with line numbers."""

from pathlib import Path

import pytest

from staging_api.catalogue.catalogue import Catalogue
from staging_api.catalogue.model import (
    ArtifactKind,
    Choice,
    Pattern,
    decompressed_kind,
    member_kind,
    plain_kind,
)
from staging_api.errors import ArtifactAmbiguous, CatalogueInvalid, Invalid
from tests.signed import MinisignKey

BUILD = "R17-1208.0.0-a1-b338"
OLDER = "R17-1200.0.0-a1-b330"
NTON = f"chromeos_{BUILD}_{BUILD}_x86-generic_delta_dev.bin"
MTON = f"chromeos_{OLDER}_{BUILD}_x86-generic_delta_dev.bin"
FULL = f"chromeos_{BUILD}_x86-generic_full_dev.bin"
UPLOADED = [
    "image.zip",
    "debug.tgz",
    FULL,
    FULL + ".json",
    "stateful.tgz",
    "autotest.tar",
    "autotest.tar.bz2",
    NTON,
    MTON,
    "test_suites.tar.bz2",
]

TEN_LINES = """\
artifacts:
  - name: installer
    group: release
    phase: foreground
    pattern: "app-*.exe"
    lands: installer.exe
  - {name: docs, group: release, phase: background, optional: true, pattern: docs.zip, extract: zip}
"""


@pytest.fixture(scope="module")
def chromium():
    return Catalogue.load()


def kind(catalogue, name):
    (found,) = catalogue.resolve([name])
    return found


def test_the_default_is_the_build_group(chromium):
    assert [(each.name, each.phase) for each in chromium.resolve()] == [
        ("full_payload", "foreground"),
        ("stateful", "foreground"),
        ("test_suites", "foreground"),
        ("nton_payload", "background"),
        ("mton_payload", "background"),
        ("autotest", "background"),
        ("firmware", "background"),
    ]


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("images", ["test_image", "base_image", "recovery_image"]),
        ("symbols", ["symbols"]),
        ("stateful_payload", ["stateful"]),
        ("delta_payload", ["nton_payload", "mton_payload"]),
        ("test", ["test_image"]),
    ],
)
def test_groups_and_aliases_resolve_to_their_entries(chromium, word, names):
    assert [each.name for each in chromium.resolve([word, names[0]])] == names


def test_a_build_is_whole_with_the_artifacts_of_the_default_that_are_not_optional(chromium):
    assert Catalogue.read(TEN_LINES).needed == ["installer"]
    assert chromium.needed == ["full_payload", "stateful", "test_suites", "autotest"]


def test_an_unknown_name_is_refused_with_the_known_ones(chromium):
    with pytest.raises(Invalid) as refused:
        chromium.resolve(["full_payload", "nonsense"])
    assert refused.value.errors[0].field == "artifacts"
    assert "nonsense" in refused.value.detail
    assert "full_payload" in refused.value.detail


@pytest.mark.parametrize(
    ("name", "objects"),
    [
        ("full_payload", [FULL]),
        ("nton_payload", [NTON]),
        ("mton_payload", [MTON]),
        ("autotest", ["autotest.tar"]),
        ("firmware", []),
        ("test_image", ["image.zip"]),
    ],
)
def test_each_artifact_finds_its_object(chromium, name, objects):
    assert kind(chromium, name).find(UPLOADED, BUILD) == objects


def test_the_second_name_is_used_when_the_first_is_absent(chromium):
    names = [name for name in UPLOADED if name != "autotest.tar"]
    assert kind(chromium, "autotest").find(names, BUILD) == ["autotest.tar.bz2"]


def test_an_image_uploaded_alone_is_preferred_to_the_zip(chromium):
    names = [*UPLOADED, "chromiumos_test_image.tar.xz"]
    ways = list(kind(chromium, "test_image").ways(names, BUILD))
    assert [(way.choice.extract, way.objects) for way in ways] == [
        ("tar", ["chromiumos_test_image.tar.xz"]),
        ("zip", ["image.zip"]),
    ]


def test_two_objects_that_fit_an_artifact_of_one_are_an_error_that_names_both(chromium):
    with pytest.raises(ArtifactAmbiguous, match=r"x_full_\.md5, .*_full_dev\.bin"):
        kind(chromium, "full_payload").find([*UPLOADED, "x_full_.md5"], BUILD)


def test_of_many_objects_that_fit_an_artifact_five_are_named(chromium):
    more = [f"{number}_full_.bin" for number in range(5)]
    with pytest.raises(ArtifactAmbiguous) as refused:
        kind(chromium, "full_payload").find([*UPLOADED, *more], BUILD)
    assert f"and 6 fit *_full_*: {', '.join(more)}, ...; name one" in refused.value.detail
    with pytest.raises(ArtifactAmbiguous) as refused:
        kind(chromium, "full_payload").find([*UPLOADED, *more[1:]], BUILD)
    assert f"{', '.join([*more[1:], FULL])}; name one" in refused.value.detail


def test_an_entry_can_decide_for_the_shortest_of_several_names():
    text = TEN_LINES.replace('"app-*.exe"', '"app-*.exe"\n    several: shortest')
    (way,) = kind(Catalogue.read(text), "installer").ways(["app-10.exe", "app-1.exe"], BUILD)
    assert (way.objects, way.passed_over) == (["app-1.exe"], ["app-10.exe"])


def test_an_entry_may_have_limits_of_its_own():
    limits = f"{{bytes: {10**18 - 1}, ratio: 0}}"
    text = TEN_LINES.replace("    lands: inst", f"    limits: {limits}\n    lands: inst")
    found = kind(Catalogue.read(text), "installer").limits
    assert found == (("total_bytes", 10**18 - 1), ("ratio", 0))


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ("{byte: 1}", "'byte' is none of"),
        ("{bytes: many}", "bytes must be a whole number"),
        (f"{{bytes: {'9' * 19}}}", "bytes must be a whole number"),
        (f"{{bytes: {'9' * 5000}}}", "bytes must be a whole number"),
    ],
)
def test_limits_that_mean_nothing_are_refused_with_their_line(limits, says):
    text = TEN_LINES.replace("    lands: inst", f"    limits: {limits}\n    lands: inst")
    with pytest.raises(CatalogueInvalid, match=f"^catalogue, line 6: {says}"):
        Catalogue.read(text)


def test_keys_in_files_are_for_the_catalogue_of_the_service_alone(tmp_path):
    file = tmp_path / "key.pub"
    file.write_text(MinisignKey().public)
    text = TEN_LINES + f"verify: {{checksums: SUMS, signature: SUMS.sig, keys: [{file}]}}\n"
    with pytest.raises(CatalogueInvalid, match="only a catalogue file of the service names files"):
        Catalogue.read(text)
    kinds = Catalogue.read(text, key_files=True).resolve(["release"])
    assert {kind.verify.keys for kind in kinds if kind.verify} == {(str(file),)}


def test_an_entry_may_select_every_matching_object(chromium):
    names = ["full_dev_part_ROOT.bin.gz", "full_dev_part_KERN.bin.gz", "other.gz"]
    entry = kind(chromium, "quick_provision")
    assert entry.find(names, BUILD) == ["full_dev_part_KERN.bin.gz", "full_dev_part_ROOT.bin.gz"]
    assert entry.target("full_dev_part_ROOT.bin.gz", BUILD) == "full_dev_part_ROOT.bin.gz"


def test_target_paths_contain_the_build(chromium):
    assert kind(chromium, "nton_payload").target(NTON, BUILD) == f"au/{BUILD}_nton/update.gz"
    assert kind(chromium, "autotest").target("autotest/x", BUILD) == "autotest/x"


def test_a_file_may_appear_at_further_paths(chromium):
    autotest, stateful = kind(chromium, "autotest"), kind(chromium, "stateful")
    assert autotest.further_paths("autotest/packages/a.tar.bz2", BUILD) == ["autotest/a.tar.bz2"]
    assert autotest.further_paths("autotest/packages/sub/a", BUILD) == []
    assert stateful.further_paths("stateful.tgz", BUILD) == [
        f"au/{BUILD}_nton/stateful.tgz",
        f"au/{BUILD}_mton/stateful.tgz",
    ]


def test_members_are_chosen_by_whole_segments():
    choice = Choice(
        Pattern("a.tar"), extract="tar", only=("debug/breakpad/",), without=("debug/x",)
    )
    assert choice.takes("debug/breakpad/a.sym")
    assert not choice.takes("debug/breakpad2/a.sym")
    assert not Choice(Pattern("a.tar"), without=("auto/suites",)).takes("auto/suites/control")
    assert Choice(Pattern("a.tar"), without=("auto/suites",)).takes("auto/suites.txt")


@pytest.mark.parametrize(
    ("glob", "name", "fits"),
    [
        ("*.bin", "a.bin", True),
        ("*.bin", "sub/a.bin", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("a.c", "abc", False),
        ("{build}.zip", "R17+1.zip", True),
        ("{build}.zip", "R17771.zip", False),
        ("{v}-{v}", "1-1", True),
        ("{v}-{v}", "1-2", False),
        ("[ab]", "a", False),
        ("*", "a\nb", True),
    ],
)
def test_a_glob_matches_as_documented(glob, name, fits):
    assert Pattern(glob).matches(name, "R17+1") is fits


def test_a_file_name_from_a_client_is_not_a_glob():
    entry = plain_kind("a*{build}.txt")
    assert entry.find(["a*{build}.txt", "abc.txt"], BUILD) == ["a*{build}.txt"]


def test_a_file_name_with_a_star_stands_for_all_that_fit_in_all_folders():
    entry = plain_kind("a*.txt")
    assert entry.find(["a/b.txt", "ab.txt", "b.txt", "a.txt.gz"], BUILD) == ["ab.txt", "a/b.txt"]
    assert entry.find(["a*.txt", "ab.txt"], BUILD) == ["a*.txt"]
    assert (entry.lands, entry.every, entry.is_one_file) == ("", True, False)
    one = plain_kind("a[b]{c}?.txt")
    assert one.find(["a[b]{c}?.txt", "abcx.txt"], BUILD) == ["a[b]{c}?.txt"]
    assert (one.lands, one.every, one.is_one_file) == ("a[b]{c}?.txt", False, True)


@pytest.mark.parametrize(
    ("text", "name", "only"),
    [
        ("a[b].tar!/x/y", "a[b].tar", ("x/y",)),
        ("a[b].tar!/*", "a[b].tar", ()),
        ("a.tar!/x!/y", "a.tar", ("x!/y",)),
    ],
)
def test_a_member_is_named_literally_with_its_object(text, name, only):
    entry = member_kind(text)
    assert entry is not None
    assert entry.find([name, "ab.tar", "a.tar.gz"], BUILD) == [name]
    assert (entry.choices[0].only, entry.lands) == (only, f"{name}!/")


@pytest.mark.parametrize("text", ["a.tar", "a.tar!/", "!/x", ""])
def test_half_a_name_of_a_member_is_none(text):
    assert member_kind(text) is None


def test_an_object_to_be_decompressed_is_named_literally():
    entry = decompressed_kind("a[b].gz")
    assert entry.find(["a[b].gz", "ab.gz"], BUILD) == ["a[b].gz"]
    assert (entry.lands, entry.is_one_file) == ("a[b].gz!decompressed", True)


@pytest.mark.parametrize(
    ("glob", "excluding", "name"),
    [
        ("{build}/a.zip", None, f"{BUILD}/a.zip"),
        ("a.zip", "b*", "a.zip"),
        ("a.zip", "a*", None),
        ("*.zip", None, None),
        ("{a,b}.zip", None, None),
        ("{v}.zip", None, None),
        ("[a].zip", None, None),
    ],
)
def test_an_object_has_one_name_unless_its_pattern_fits_several(glob, excluding, name):
    choice = Choice(Pattern(glob), excluding=Pattern(excluding) if excluding else None)
    assert choice.object_name(BUILD) == name
    kind = ArtifactKind("x", "g", "foreground", (Choice(Pattern("a")), choice))
    assert kind.has_names(BUILD) == (name is not None)


def test_another_project_needs_ten_lines():
    catalogue = Catalogue.read(TEN_LINES)
    assert [each.name for each in catalogue.resolve()] == ["installer", "docs"]
    assert catalogue.resolve(["installer"])[0].find(["app-1.exe"], "1") == ["app-1.exe"]


ENTRY = "artifacts:\n  - name: a\n    group: g\n    phase: foreground\n    pattern: x\n"
OTHER = "  - {name: %s, group: %s, phase: foreground, pattern: y}\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "mapping"),
        ("- a\n", 1, "mapping"),
        ("artifacts: []\n", 1, "at least one"),
        ("artifacts:\n  - a\n", 2, "mapping"),
        ("artifacts: [\n", 2, "expected"),
        ("artifacts: &a [*b]\n", 1, "undefined alias"),
        ("artefacts: []\n", 1, "'artefacts' is none of"),
        (ENTRY + "    colour: red\n", 6, "'colour' is none of"),
        (ENTRY + "    name: b\n", 6, "the key 'name' must stand once"),
        (ENTRY + "    [a]: b\n", 6, "a key must be a word"),
        (ENTRY + "    lands: a\x07b\n", 6, "may not have the character U+0007"),
        (ENTRY.replace("foreground", "soon"), 4, "foreground, background"),
        (ENTRY.replace("    pattern: x\n", ""), 2, "pattern is missing"),
        (ENTRY.replace("name: a", "name: A b"), 2, "look like"),
        (ENTRY + "    optional: perhaps\n", 6, "true or false"),
        (ENTRY + "    extract: rar\n", 6, "plain, tar, zip"),
        (ENTRY + "    only: [x]\n", 2, "extract"),
        (ENTRY + "    lands: /etc/passwd\n", 6, "path below"),
        *(
            (ENTRY + f"    {key}: {path}\n", 6, "path below")
            for path in ("../x", "a//b", "./b", "a/.", "..", "'a\\b'", '"a\\a"', "/")
            for key in ("lands", "without")
        ),
        (ENTRY + "    also: {a/: ../b/}\n", 6, "path below"),
        (ENTRY + "    alternatives: {a: b}\n", 6, "must be a list"),
        (ENTRY + "    lands: {a: b}\n", 6, "text"),
        (ENTRY + "    extract: tar\n    lands: x\n", 2, "unpacked members need a folder"),
        (ENTRY + "    every: true\n    lands: x\n", 2, "end lands in /"),
        (ENTRY + "    also: {a/: b}\n", 6, "pair"),
        (ENTRY + "    alternatives: [{name: x}]\n", 6, "'name' is none of"),
        (ENTRY + OTHER % ("a", "g"), 2, "already"),
        (ENTRY + OTHER % ("g", "h"), 6, "already"),
        (ENTRY + "    aliases: [b]\n" + OTHER % ("b", "g"), 6, "already"),
        (ENTRY + "default: [b]\n", 6, "'b' is none of"),
    ],
)
def test_a_bad_catalogue_is_refused_with_its_line_and_reason(text, line, words):
    with pytest.raises(CatalogueInvalid) as refused:
        Catalogue.read(text, "mine.yaml")
    assert refused.value.detail.startswith(f"mine.yaml, line {line}:")
    assert words in refused.value.detail


def test_a_catalogue_has_a_greatest_length():
    longest = TEN_LINES.ljust(1 << 18, "#")
    assert len(Catalogue.read(longest).kinds) == 2
    with pytest.raises(CatalogueInvalid, match=r"mine\.yaml has more than 262144 characters"):
        Catalogue.read(longest + "#", "mine.yaml")


def test_a_catalogue_is_read_from_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(TEN_LINES)
    assert len(Catalogue.load(path).kinds) == 2


def test_the_documented_example_is_a_valid_catalogue():
    text = (Path(__file__).parents[2] / "docs" / "explanation" / "staging.md").read_text()
    example = text.partition("```yaml\n")[2].partition("```")[0]
    catalogue = Catalogue.read(example)
    assert [kind.name for kind in catalogue.resolve()] == ["installer", "docs"]
    assert [kind.name for kind in catalogue.resolve(["tools"])] == ["tools"]

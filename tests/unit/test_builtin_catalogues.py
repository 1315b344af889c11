"""Built-in catalogues: objects matched by each entry, and choice of a catalogue by prefix."""

import re

import pytest

from staging_api.catalogue.absence import absent_member, absent_object, nearest
from staging_api.catalogue.catalogue import Catalogue, builtin_names
from staging_api.catalogue.model import ArtifactKind, Choice, Pattern
from staging_api.errors import CatalogueInvalid, Invalid
from staging_api.sources.url import parse
from staging_api.staging.catalogues import Catalogues

RELEASE = [
    "SHA256SUMS",
    "SHA256SUMS.asc",
    "tool-linux-amd64",
    "tool_1.2_amd64.deb",
    "tool-1.2.tar.gz",
    "tool-1.2.tar.gz.sig",
    "tool.spdx.json",
]
PHONE = [
    "aosp_phone-img-123.zip",
    "aosp_phone-ota-123.zip",
    "aosp_phone-symbols-123.zip",
    "aosp_phone-target_files-123.zip",
    "bootloader.img",
    "cvd-host_package.tar.gz",
    "radio.img",
]
MACHINE = [
    "Image",
    "Image--6.6-r0-board.bin",
    "core-image-board.rootfs.ext4",
    "core-image-board.rootfs.manifest",
    "core-image-board.rootfs.wic.bmap",
    "core-image-board.rootfs.wic.zst",
    "modules-board.tgz",
    "board.dtb",
    "u-boot.bin",
]


def found(catalogue: str, names: list[str]) -> dict[str, list[str]]:
    """Return the matched objects of each entry that matches any."""
    kinds = Catalogue.builtin(catalogue).resolve()
    return {kind.name: objects for kind in kinds if (objects := kind.find(names, "v1"))}


def test_every_builtin_catalogue_is_valid_and_says_what_its_default_is() -> None:
    assert builtin_names() == ["android", "chromiumos", "everything", "github-release", "yocto"]
    for name in builtin_names():
        catalogue = Catalogue.builtin(name)
        assert catalogue.name == name
        assert catalogue.resolve() == catalogue.resolve(catalogue.default)


def test_everything_takes_each_object_with_its_folders() -> None:
    names = ["a.bin", "deep/er/b.bin"]
    (kind,) = Catalogue.builtin("everything").resolve()
    assert sorted(kind.find(names, "v1")) == names
    assert [kind.target(name, "v1") for name in names] == names


def test_a_release_is_its_digests_signatures_and_assets_and_no_file_is_left_over() -> None:
    taken = found("github-release", RELEASE)
    assert taken["checksums"] == ["SHA256SUMS"]
    assert sorted(taken["signatures"]) == ["SHA256SUMS.asc", "tool-1.2.tar.gz.sig"]
    assert sorted(name for names in taken.values() for name in names) == sorted(RELEASE)


def test_an_android_build_is_what_flashes_a_device() -> None:
    assert found("android", PHONE) == {
        "images": ["aosp_phone-img-123.zip"],
        "bootloader": ["bootloader.img"],
        "radio": ["radio.img"],
    }


def test_a_yocto_build_is_what_a_board_boots_from() -> None:
    taken = found("yocto", MACHINE)
    assert taken["kernel"] == ["Image", "Image--6.6-r0-board.bin"]
    assert taken["root_filesystems"] == ["core-image-board.rootfs.ext4"]
    assert len(taken["disk_images"]) == 2
    assert {name for names in taken.values() for name in names} == set(MACHINE) - {
        "core-image-board.rootfs.manifest"
    }


@pytest.mark.parametrize(
    ("glob", "name", "fits"),
    [
        ("**", "a/b", True),
        ("**.img", "a/b.img", True),
        ("*", "a/b", False),
        ("**/x", "x", False),
        ("*.{img,zip}", "a.zip", True),
        ("*.{img,zip}", "a.tar", False),
        ("{a*,b?}.x", "bb.x", True),
        ("{v}-{v}.{a,b}", "1-1.b", True),
        ("{v}-{v}.{a,b}", "1-2.b", False),
        ("{,x-}y", "y", True),
        ("[a].{", "[a].{", True),
        ("{build}.{bin}.{bin}", "v1.a.a", True),
    ],
)
def test_globs_cross_folders_by_two_stars_and_choose_among_texts(
    glob: str, name: str, fits: bool
) -> None:
    assert Pattern(glob).matches(name, "v1") is fits


def test_the_longest_prefix_chooses_the_catalogue_and_one_is_for_all_others() -> None:
    setting = "gs://builds/=yocto, gs://builds/phones=android,everything"
    catalogues = Catalogues.parse(setting)
    for url, name in {
        "gs://builds/phones/a/1": "android",
        "gs://builds/phonesx/a": "yocto",
        "gs://other/phones/1": "everything",
    }.items():
        assert catalogues.of(parse(url)).name == name
    assert [entry.catalogue.name for entry in catalogues] == ["android", "yocto", "everything"]
    assert Catalogues.parse("").others.name == Catalogue.load().name


@pytest.mark.parametrize(
    ("setting", "error", "says"),
    [
        ("everything,yocto", Invalid, "two catalogues for all other archives"),
        ("gs://builds/x=yocto,gs://builds/x/=android", Invalid, "two catalogues for gs://builds/x"),
        ("gs://builds/x", Invalid, "PREFIX=CATALOGUE"),
        ("gs://builds/x=", Invalid, "PREFIX=CATALOGUE"),
        ("ftp://b/x=yocto", Invalid, "scheme"),
        ("yokto", CatalogueInvalid, "android, chromiumos, everything"),
        ("/no/such.yaml", CatalogueInvalid, "cannot be read"),
    ],
)
def test_an_invalid_catalogue_setting_is_refused(
    setting: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=re.escape(says)):
        Catalogues.parse(setting)


def test_a_file_may_be_the_same_as_a_builtin_catalogue() -> None:
    assert Catalogue.read("same_as: yocto").name == "yocto"
    with pytest.raises(CatalogueInvalid, match=r"line 2: same_as must be one of android"):
        Catalogue.read("# mine\nsame_as: ../secret")


@pytest.mark.parametrize(
    "more", ["verify: {digests: {x: 'md5:0'}}", "default: [x]", "artifacts: [{name: x}]"]
)
def test_a_file_that_is_the_same_as_another_catalogue_says_nothing_else(more: str) -> None:
    key = more.partition(":")[0]
    with pytest.raises(CatalogueInvalid, match=f"line 2: '{key}' is none of same_as"):
        Catalogue.read(f"same_as: yocto\n{more}")


def test_a_text_that_is_too_long_or_too_deep_is_refused() -> None:
    with pytest.raises(CatalogueInvalid, match="characters"):
        Catalogue.read("#" * (1 << 19))
    with pytest.raises(CatalogueInvalid, match="deep"):
        Catalogue.read("[" * 1000)


def entry(*choices: Choice) -> ArtifactKind:
    """Return a catalogue entry with these choices."""
    return ArtifactKind("installer", "release", "foreground", choices)


def test_an_absent_object_is_explained_by_pattern_and_nearest_names() -> None:
    kind = entry(Choice(Pattern("setup-*.exe"), excluding=Pattern("*-beta.exe")))
    names = ["readme.txt", "Setup-1.2.msi", "setup_1.2.exe", "x"]
    said = absent_object(kind, names, "gs://builds/tool/1")
    assert "no object fits setup-*.exe (without *-beta.exe)" in said
    assert said.index("setup_1.2.exe") < said.index("Setup-1.2.msi")
    assert "of 4 objects" in said
    assert "there is no object at all" in absent_object(kind, [], "gs://builds/tool/1")


def test_an_absent_member_is_explained_as_well() -> None:
    choice = Choice(Pattern("image.zip"), extract="zip", only=("disk.img",))
    said = absent_member(entry(choice), choice, "image.zip", ["disk.bin", "boot.img"])
    assert "no member is or is below disk.img; nearest of 2 members: disk.bin" in said


def test_nearest_names_of_a_large_archive_are_found() -> None:
    names = [f"part-{number}.bin" for number in range(50_000)]
    assert nearest("part-17.img", [*names[:10_000], "part-17.image"])[0] == "part-17.image"

"""Pool paths: locations of files, and names that must not lead elsewhere."""

import pytest

from staging_api.debian.version import parse_version
from staging_api.errors import Invalid
from staging_api.publishing.pool import binary_file_name, component_name, pool_path


@pytest.mark.parametrize(
    ("component", "source", "path"),
    [
        ("main", "hello", "pool/main/h/hello/f.deb"),
        ("main", "libx11", "pool/main/libx/libx11/f.deb"),
        ("non-free", "0ad", "pool/non-free/0/0ad/f.deb"),
    ],
)
def test_where_files_lie(component: str, source: str, path: str) -> None:
    assert pool_path(component, source, "f.deb") == path


def test_file_names_leave_the_epoch_out() -> None:
    name = binary_file_name("hello", parse_version("1:2.0-1~a+b"), "amd64", "udeb")
    assert name == "hello_2.0-1~a+b_amd64.udeb"


@pytest.mark.parametrize("suffix", ["", "exe", "deb/../x"])
def test_only_package_suffixes_are_made(suffix: str) -> None:
    with pytest.raises(Invalid):
        binary_file_name("hello", parse_version("1"), "amd64", suffix)


def test_a_name_longer_than_file_systems_take_is_refused() -> None:
    with pytest.raises(Invalid):
        binary_file_name("h" * 128, parse_version("1" * 128), "amd64", "deb")


SEGMENT = "m" * 64


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "-x", f"{SEGMENT}m", f"a/{SEGMENT}m", "a/..", "a/.b", "/a", "a/", "a//b"),
        *("a/b/c/d/e", "a b", "a\n", "é"),
    ],
)
def test_unsafe_components_are_refused(name: str) -> None:
    with pytest.raises(Invalid, match="is not a component's name"):
        component_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("Release", "InRelease", "Release.gpg", "Release/a", "a/source", "a/debian-installer"),
        *("a/by-hash", "a/binary-amd64", "a/source/b"),
    ],
)
def test_components_whose_folder_has_other_files_are_refused(name: str) -> None:
    with pytest.raises(Invalid, match="is a folder for other files of a suite"):
        component_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("mysql-8.0", "Main", "k8s_1.2", "updates/main", "a/b/c/d", f"{SEGMENT}/{SEGMENT}"),
        *("source", "debian-installer", "binary-x", "a/Release", "a/sources", "a/installer"),
    ],
)
def test_components_are_named_as_others_name_theirs(name: str) -> None:
    assert component_name(name) == name


@pytest.mark.parametrize("name", ["", ".hidden", "..", "a/b", "a\nb", "é", "a b", "a%2fb", "a:b"])
def test_unsafe_file_names_are_refused(name: str) -> None:
    with pytest.raises(Invalid):
        pool_path("main", "hello", name)

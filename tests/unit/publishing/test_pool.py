"""Pool paths: where files lie, and that no name leads elsewhere."""

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


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "Main", "-x", "m" * 65])
def test_unsafe_components_are_refused(name: str) -> None:
    with pytest.raises(Invalid):
        component_name(name)


@pytest.mark.parametrize("name", ["", ".hidden", "..", "a/b", "a\nb", "é", "a b", "a%2fb", "a:b"])
def test_unsafe_file_names_are_refused(name: str) -> None:
    with pytest.raises(Invalid):
        pool_path("main", "hello", name)

"""Stanzas of Packages and Sources, and their sort keys."""

from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO

from hypothesis import given
from hypothesis import strategies as st

from staging_api.debian.deb import read_deb
from staging_api.debian.dsc import read_dsc
from staging_api.debian.version import parse_version
from staging_api.publishing.blocks import cut
from staging_api.publishing.index_model import IndexFile, ReleaseText, ServedArchiveFile
from staging_api.publishing.indices import (
    binary_entry,
    entries_of,
    index_key,
    packages_path,
    source_entry,
    sources_path,
)
from tests.packages import control_text, deb, dsc, entry, source_file


def test_a_binary_stanza_is_the_control_file_with_path_size_and_hash() -> None:
    raw = deb()
    package = read_deb(BytesIO(raw))
    made = binary_entry(package.control, "pool/x.deb", len(raw), "ab" * 32)
    assert made.stanza.decode() == (
        control_text() + f"Filename: pool/x.deb\nSize: {len(raw)}\nSHA256: {'ab' * 32}\n\n"
    )


def test_a_source_stanza_counts_the_dsc_among_its_files_and_drops_weaker_hashes() -> None:
    tarball = source_file("hello_1.0.orig.tar.gz", b"upstream")
    raw = dsc([tarball], Files="\n 0 8 hello_1.0.orig.tar.gz", Checksums_Sha1="\n 0 8 x").encode()
    source = read_dsc(raw)
    stanza = source_entry(source.control, "pool/h", source.dsc, source.files).stanza.decode()
    assert stanza.startswith("Package: hello\nFormat: 3.0 (quilt)\nBinary: hello\n")
    assert stanza.endswith(
        "Directory: pool/h\nChecksums-Sha256:"
        f"\n {source.dsc.sha256} {len(raw)} hello_1.0-1.dsc"
        f"\n {tarball.sha256} 8 {tarball.name}\n\n"
    )
    assert "Files:" not in stanza
    assert "Sha1" not in stanza


_ROWS = st.tuples(
    st.builds(str.__add__, st.sampled_from("ab0"), st.text("ab0+.-", min_size=1, max_size=3)),
    st.sampled_from(["1", "1~a", "1.0", "1:0", "10", "9"]),
    st.sampled_from(["all", "amd64"]),
)


@given(_ROWS, _ROWS)
def test_keys_order_like_their_columns(a: tuple[str, str, str], b: tuple[str, str, str]) -> None:
    columns = [(name, parse_version(text).sort_key, arch) for name, text, arch in (a, b)]
    keys = [index_key(*each) for each in columns]
    assert (keys[0] < keys[1]) == (columns[0] < columns[1])


def test_an_index_is_read_back_into_the_entries_it_was_made_of() -> None:
    entries = [
        binary_entry(control_text(name).strip(), f"pool/{name}.deb", 1, "0" * 64)
        for name in ("aa", "bb")
    ]
    assert entries_of(b"".join(entry.stanza for entry in entries)) == entries


def test_paths_of_index_files() -> None:
    assert packages_path("main", "amd64") == "main/binary-amd64/Packages"
    assert packages_path("main", "amd64", installer=True) == (
        "main/debian-installer/binary-amd64/Packages"
    )
    assert sources_path("main") == "main/source/Sources"


INDEX_FILE = IndexFile(1, "main/source/Sources", "gz", True, "a" * 64, 1, "b" * 64)
NOW = datetime.now(UTC)


def test_an_index_file_is_the_same_whether_its_blocks_are_at_hand() -> None:
    assert replace(INDEX_FILE, blocks=("c" * 64,)) == INDEX_FILE
    assert replace(INDEX_FILE, form="xz") != INDEX_FILE


def test_what_is_long_is_not_printed() -> None:
    """An error about a large value would write all of it to the log."""
    content, blocks = b"secret", ("secret",)
    for each in (
        *cut([entry("secret")]),
        replace(INDEX_FILE, blocks=blocks),
        ReleaseText(1, "Release", content, NOW, None, "a" * 64, None, None),
        ServedArchiveFile("Release", "a" * 64, 6, None, content),
        ServedArchiveFile("Packages.gz", "a" * 64, 6, None, blocks=blocks),
    ):
        shown = repr(each).replace("last_key=b'secret", "")
        assert "secret" not in shown

"""Names of digest and signature files beside an object."""

from staging_api.staging.checksums import (
    Checksums,
    digest_of,
    is_list,
    lists_of_folder,
    lists_of_one,
    lists_to_require,
    signatures_of,
    strongest_first,
)

SHA256 = ("sha256", "1" * 64)


def test_where_no_list_says_what_there_is_few_names_are_asked_for() -> None:
    assert lists_of_one("d/a.zip", None) == ["d/a.zip.sha256"]
    assert lists_of_folder("d/a.zip", None) == [
        "d/SHA256SUMS",
        "d/MD5SUMS",
        "SHA256SUMS",
        "MD5SUMS",
    ]
    assert lists_of_folder("a.zip", None) == ["SHA256SUMS", "MD5SUMS"]


def test_of_a_list_only_what_it_has_is_asked_for() -> None:
    listed = [
        "d/a.zip",
        "d/a.zip.md5",
        "d/b.zip.sha256",
        "e/SHA256SUMS",
        "SHA512SUMS",
        "d/CHECKSUM",
    ]
    assert lists_of_one("d/a.zip", listed) == ["d/a.zip.md5"]
    assert lists_of_folder("d/a.zip", listed) == ["d/CHECKSUM", "SHA512SUMS"]
    assert signatures_of("d/a.zip", ["d/a.zip.sig", "d/b.zip.asc"]) == ["d/a.zip.sig"]
    assert "d/a.zip.asc" in signatures_of("d/a.zip", listed)


def test_lists_of_md5_come_last() -> None:
    names = ["md5/SHA256SUMS", "MD5SUMS", "a.md5sum", "checksums.txt"]
    assert strongest_first(names) == ["md5/SHA256SUMS", "checksums.txt", "MD5SUMS", "a.md5sum"]


def test_lists_that_have_the_name_of_a_release_are_asked_for_behind_the_usual_up_to_twenty() -> (
    None
):
    named = [f"d/tool_{number:02}_checksums.txt" for number in range(25)]
    listed = [*named[::-1], "d/a.zip", "e/tool_checksums.txt", "d/tool_notes.txt", "d/SHA256SUMS"]
    asked = list(lists_to_require("d/a.zip", listed))
    assert asked[0] == "d/SHA256SUMS"
    assert len(asked) == len(set(asked))
    assert asked[-20:] == named[:20]
    assert not {*named[20:], "e/tool_checksums.txt", "d/tool_notes.txt", "d/a.zip"} & set(asked)
    # A list does not declare its own digest.
    assert named[0] not in list(lists_to_require(named[0], named))


def test_names_in_a_list_are_relative_to_its_folder_or_to_the_archive() -> None:
    for key in ("a.zip", "d/a.zip"):
        assert digest_of(Checksums({key: SHA256}, "w"), "d/a.zip", "d/SHA256SUMS") == SHA256
    assert digest_of(Checksums({"b.zip": SHA256}, "w"), "d/a.zip", "d/SHA256SUMS") is None
    assert digest_of(Checksums({"a.zip": ("sha1", "1")}, "w"), "a.zip", "SHA1SUMS") is None


def test_a_file_of_one_digest_may_name_the_object_otherwise_unless_that_could_be_a_trick() -> None:
    for key, loosely, strictly in (
        ("", SHA256, SHA256),
        # Of a pipe into sha256sum or openssl.
        ("-", SHA256, SHA256),
        ("stdin", SHA256, SHA256),
        ("/home/me/a.zip", SHA256, SHA256),
        ("b.zip", SHA256, None),
    ):
        sums = Checksums({key: SHA256}, "w")
        assert digest_of(sums, "d/a.zip", "d/a.zip.sha256") == loosely
        assert digest_of(sums, "d/a.zip", "d/a.zip.sha256", strict=True) == strictly
        # If a file has several digests, none is used for the object.
        more = Checksums({key: SHA256, "c.zip": SHA256}, "w")
        assert digest_of(more, "d/a.zip", "d/a.zip.sha256") is None


def test_a_list_is_known_by_its_end_or_by_its_whole_name() -> None:
    for name in ("a.zip.sha256", "d/a.md5sum", "SHA256SUMS", "d/checksums.txt"):
        assert is_list(name)
    for name in ("a.zip", "d/SHA256SUMS.asc", "SHA256SUMS/a", "sha256"):
        assert not is_list(name)

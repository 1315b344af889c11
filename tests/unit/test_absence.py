"""Response about an absent artifact: the most similar names that exist."""

from staging_api.catalogue.absence import absent_member, absent_object, nearest
from staging_api.catalogue.model import ArtifactKind, Choice, Pattern, plain_kind

#: Number of names that are compared, and number of names considered before.
COMPARED, READ = 200, 20_000
IMAGES = ArtifactKind("images", "g", "foreground", (Choice(Pattern("image-*.zip")),))


def test_the_three_likest_names_are_given_whatever_their_case() -> None:
    names = ["x", "image.tar", "IMAGE.ZIP", "image2.zip", "images.zip", "other"]
    assert nearest("image.zip", names) == ["IMAGE.ZIP", "image2.zip", "images.zip"]


def test_of_many_names_those_that_share_a_word_are_compared() -> None:
    others = [f"{number}" for number in range(READ)]
    assert "qqqqz" in nearest("qqqq", [*others[: COMPARED - 1], "qqqqz"])
    assert "qqqqz" not in nearest("qqqq", [*others[:COMPARED], "qqqqz"])
    assert "qqqq.z" in nearest("qqqq", [*others[: READ - 1], "qqqq.z"])
    assert "qqqq.z" not in nearest("qqqq", [*others, "qqqq.z"])


def test_long_names_are_cut_and_odd_ones_are_escaped() -> None:
    long = "a" * 121
    said = absent_object(plain_kind("a"), [long, "b\x07"], "gs://b/R17")
    assert f"nearest of 2 objects: {long[:-1]}, 'b\\x07'" in said
    assert said.startswith("file:a is not in gs://b/R17; ")


def test_a_pattern_is_named_with_what_it_leaves_out() -> None:
    choice = Choice(Pattern("*.zip"), excluding=Pattern("old-*"))
    kind = ArtifactKind("zips", "g", "foreground", (choice, Choice(Pattern("*.tar"))))
    said = absent_object(kind, ["x.txt"], "R17")
    assert said == (
        "zips is not in R17: no object fits *.zip (without old-*) or *.tar;"
        " nearest of 1 object: x.txt"
    )
    assert absent_object(IMAGES, [], "R17").endswith("; there is no object at all")
    assert absent_object(IMAGES, [], "gs://b/").endswith("; the root of a bucket is not listed")
    assert "root" not in absent_object(IMAGES, ["x"], "gs://b/")


def test_a_member_that_is_not_there_is_said_to_be_missing_from_its_object() -> None:
    choice = Choice(Pattern("a.tar"), extract="tar", only=("debug", "logs/"))
    said = absent_member(IMAGES, choice, "a.tar", ["debugs", "x"])
    assert said == (
        "a.tar has nothing of images: no member is or is below debug or logs/;"
        " nearest of 2 members: debugs, x"
    )
    every = Choice(Pattern("a.tar"), extract="tar")
    said = absent_member(IMAGES, every, "a.tar", ["x", "y", "z", "w"])
    assert said == "a.tar has nothing of images; nearest of 4 members: x, y, z"

"""Badges as wide as their words, and files that pages refer to."""

import gzip
import re

import falcon
import pytest
from falcon.testing import create_environ

from staging_api.errors import NotFound
from staging_api.ui.answering import go_to, send_page
from staging_api.ui.assets import Assets, asset_url, build_id
from staging_api.ui.shell import theme_of
from staging_api.ui.small_pages import Theme, UiRoot, _badge


def request(path: str = "/", **headers: str) -> falcon.Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return falcon.Request(create_environ(path, headers=named))


@pytest.mark.parametrize(
    ("name", "state", "widths", "colour"),
    [
        ("R17-5", "staged", (43, 50), "#17703f"),
        ("a" * 20, "failed", (142, 50), "#b3261e"),
        ("", "cancelled", (10, 69), "#566273"),
        ("R1", "foreground_staged", (23, 122), "#1d57b8"),
    ],
)
def test_a_badge_is_as_wide_as_its_words(
    name: str, state: str, widths: tuple[int, int], colour: str
) -> None:
    drawn = _badge(name, state)
    left, right = widths
    rects = re.findall(r'<rect (?:x="(\d+)" )?width="(\d+)" height="20" fill="(#\w+)"', drawn)
    assert rects == [("", str(left), "#3d4752"), (str(left), str(right), colour)]
    (whole,) = re.findall(r'<svg xmlns="[^"]*" width="(\d+)" height="20"', drawn)
    assert abs(int(whole) - left - right) <= 1
    places = re.findall(r'<text x="(\d+)" y="14">([^<]*)</text>', drawn)
    assert places == [("5", name), (str(left + 5), state.replace("_", " "))]


def asset(name: str, **headers: str) -> falcon.Response:
    resp = falcon.Response()
    Assets().on_get(request(**headers), resp, name)
    return resp


@pytest.mark.parametrize(
    ("name", "media"),
    [("app.css", "text/css"), ("tools.js", "text/javascript"), ("icon-ok.svg", "image/svg+xml")],
)
def test_a_file_is_sent_plain_or_compressed_for_ever(name: str, media: str) -> None:
    hashed = asset_url(name).removeprefix("/ui/assets/")
    stem, _, suffix = name.rpartition(".")
    assert re.fullmatch(rf"{stem}\.[0-9a-f]{{12}}\.{suffix}", hashed)
    plain, squeezed = asset(hashed), asset(hashed, Accept_Encoding="br, gzip")
    assert plain.data is not None
    assert squeezed.data is not None
    assert gzip.decompress(squeezed.data) == plain.data
    # Without a time stamp, so that every process sends the same bytes.
    assert squeezed.data[4:8] == bytes(4)
    for each, encoding in ((plain, None), (squeezed, "gzip")):
        assert (each.content_type or "").partition(";")[0] == media
        assert each.get_header("Content-Encoding") == encoding
        assert each.get_header("Vary") == "Accept-Encoding"
        assert each.get_header("Cache-Control") == "public, max-age=31536000, immutable"
    with pytest.raises(NotFound):
        asset(name)


def test_all_files_together_have_one_name() -> None:
    assert re.fullmatch("[0-9a-f]{12}", build_id())


@pytest.mark.parametrize(
    ("chosen", "now", "following"),
    [
        (None, "auto", "light"),
        ("auto", "auto", "light"),
        ("light", "light", "dark"),
        ("dark", "dark", "auto"),
        ("other", "auto", "light"),
    ],
)
def test_colours_follow_each_other(chosen: str | None, now: str, following: str) -> None:
    cookie = {"Cookie": f"staging-theme={chosen}"} if chosen else {}
    req, resp = request(Sec_Fetch_Site="same-origin", **cookie), falcon.Response()
    assert theme_of(req) == now
    Theme().on_post(req, resp)
    assert resp._cookies is not None
    assert resp._cookies["staging-theme"].value == following
    assert resp.location == "/"


def test_the_old_address_leads_to_the_first_screen() -> None:
    resp = falcon.Response()
    UiRoot().on_get(request("/ui"), resp)
    assert (resp.status, resp.location) == ("303 See Other", "/")


def test_a_page_and_a_way_to_one_have_the_headers_of_pages() -> None:
    page, way = falcon.Response(), falcon.Response()
    setattr(page, "data", b"what was there before")  # noqa: B010 - so that its type stays
    send_page(page, "<p>")
    go_to(way, "/ui/builds")
    assert (page.status, page.text, page.data) == ("200 OK", "<p>", None)
    assert way.status == "303 See Other"
    for each in (page, way):
        assert "default-src 'none'" in str(each.get_header("Content-Security-Policy"))
        assert each.get_header("Cross-Origin-Opener-Policy") == "same-origin"
        assert each.get_header("Cross-Origin-Resource-Policy") == "same-origin"
        assert each.get_header("Referrer-Policy") == "no-referrer"
        assert each.get_header("Cache-Control") == "no-store"
    send_page(page, "", 404)
    assert page.status == "404 Not Found"

"""Request bodies with files: parsing and refusals."""

from typing import Any

import pytest
from falcon import Request
from falcon.testing import create_environ

from staging_api.errors import Invalid
from staging_api.http.media import form, media_type, raw

FORM = (
    b'--x\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.deb"\r\n\r\n'
    + b"deb" * 500_000
    + b"\r\n--x--\r\n"
)


def request(body: bytes, media: str | None = None, **environ: Any) -> Request:
    headers = {} if media is None else {"Content-Type": media}
    made = create_environ(body=body, headers={"Content-Length": str(len(body)), **headers})
    return Request({key: value for key, value in {**made, **environ}.items() if value is not None})


@pytest.mark.parametrize(
    ("given", "media"),
    [
        (None, ""),
        ("text/plain", "text/plain"),
        ("Text/PLAIN ; charset=x", "text/plain"),
        (";", ""),
    ],
)
def test_the_media_type_is_without_parameters_in_lower_case(given: str | None, media: str) -> None:
    assert media_type(request(b"", given)) == media


def test_a_form_is_read_part_by_part_and_a_long_one_piece_by_piece() -> None:
    read = [
        (part.name, part.file_name, list(part.chunks))
        for part in form(request(FORM, "multipart/form-data; boundary=x"))
    ]
    assert [each[:2] for each in read] == [("note", ""), ("files", "a.deb")]
    assert (read[0][2], b"".join(read[1][2])) == ([b"hello"], b"deb" * 500_000)
    assert [len(chunk) for chunk in read[1][2]] == [1 << 20, 1_500_000 - (1 << 20)]


@pytest.mark.parametrize("body", [b"", b"--x", FORM[:-5], FORM[:300]])
def test_a_form_that_is_cut_or_none_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid, match="body: the multipart form is malformed"):
        for part in form(request(body, "multipart/form-data; boundary=x")):
            list(part.chunks)


def test_as_many_parts_as_an_upload_may_have_and_its_note() -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n1\r\n'
    parts = form(request(part * 10_002 + b"--x--\r\n", "multipart/form-data; boundary=x"))
    for _ in range(10_001):
        next(parts)
    with pytest.raises(Invalid):
        next(parts)


def test_a_body_of_one_file_is_read_piece_by_piece() -> None:
    chunks = list(raw(request(b"x" * 1_500_000)))
    assert [len(chunk) for chunk in chunks] == [1 << 20, 1_500_000 - (1 << 20)]


def test_without_a_length_nothing_is_read() -> None:
    bare = request(FORM, "multipart/form-data; boundary=x", CONTENT_LENGTH=None)
    for read in (raw, lambda req: list(form(req))):
        with pytest.raises(Invalid, match="Content-Length: must be sent with the body"):
            read(bare)

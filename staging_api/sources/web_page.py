"""Detection of a web page in place of the requested object.

A client that is not signed in, or requests a missing file, often gets 200 and a page. Neither the
status nor the media type is proof: some servers declare every unknown file as ``text/html``. So a
response is refused if it begins like HTML and a second sign agrees: the object's name, the media
type or a redirect.
"""

import re

#: Number of bytes needed for the detection.
JUDGED_BYTES = 512
_TYPES = ("text/html", "application/xhtml+xml")
# A page may begin with a byte order mark, white space, comments and an XML declaration.
_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\s|<!--.*?-->|<\?xml[^>]*>)*"
    rb"<(?:!doctype\s+html|html|head|body|title|script|style|meta|link|iframe|form|h[1-6]|center"
    rb"|noscript|a|b|br|div|p|pre|span|table|ul)[\s>/]",
    re.IGNORECASE | re.DOTALL,
)
_PAGES = re.compile(r"\.(?:x?html?|shtml|xht|mhtml|php[0-9]?|aspx?|jsp|cgi|svg)\Z", re.IGNORECASE)
_EXTENSION = re.compile(r"[^.]\.[A-Za-z0-9_~+-]{1,12}\Z")
#: Extensions of formats that begin with a signature, never with a ``<``.
_PACKED = re.compile(
    r"\.(?:t?gz|t?bz2?|tbz2|t?xz|txz|t?zst|tzst|lzma?|lz4|lz|zip|jar|apk|aab|ipa|whl|egg|7z|rar|tar|cpio"
    r"|deb|rpm|dmg|iso|img|bin|exe|dll|msi|cab|so|elf|efi|ko|hex|pdf|png|jpe?g|gif|sig|squashfs"
    r"|ext4|vhdx?|vmdk|qcow2|ova|wasm|class|crx|nupkg|snap|flatpak|appimage|pb|sqlite|parquet)\Z",
    re.IGNORECASE,
)


def is_html_type(media_type: str) -> bool:
    """Return whether a media type is that of web pages."""
    return media_type in _TYPES


def names_page(name: str) -> bool:
    """Return whether an object with this name may be a web page."""
    return _PAGES.search(name) is not None


def is_foreign_page(name: str, media_type: str, first: bytes, *, redirected: bool) -> bool:
    """Return whether a response is a web page in place of the object `name`.

    Args:
        name: name of the object.
        media_type: declared media type of the response; may be empty.
        first: its first `JUDGED_BYTES`, or all of it.
        redirected: whether the response is from another address than the requested one.
    """
    if names_page(name) or _HTML.match(first) is None:
        return False
    if _PACKED.search(name):
        return True
    if not is_html_type(media_type):
        return False
    return redirected or _EXTENSION.search(name) is not None

"""Tell a web page from the requested object.

A client that is not signed in, or requests a file that is gone, often gets 200 and a page. Neither
the status nor the type proves one: some servers call every unknown file ``text/html``. So an answer
is refused if it begins as HTML does and a second sign agrees: the object's name, the type or a
redirect.
"""

import re

#: How many bytes the judgement needs.
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
#: What begins with bytes of its own, and never with a ``<``.
_PACKED = re.compile(
    r"\.(?:t?gz|t?bz2?|tbz2|t?xz|txz|t?zst|tzst|lzma?|lz4|lz|zip|jar|apk|aab|ipa|whl|egg|7z|rar|tar|cpio"
    r"|deb|rpm|dmg|iso|img|bin|exe|dll|msi|cab|so|elf|efi|ko|hex|pdf|png|jpe?g|gif|sig|squashfs"
    r"|ext4|vhdx?|vmdk|qcow2|ova|wasm|class|crx|nupkg|snap|flatpak|appimage|pb|sqlite|parquet)\Z",
    re.IGNORECASE,
)


def is_html_type(media_type: str) -> bool:
    """Whether a media type is the one of web pages."""
    return media_type in _TYPES


def names_page(name: str) -> bool:
    """Whether an object of this name may well be a web page."""
    return _PAGES.search(name) is not None


def is_foreign_page(name: str, media_type: str, first: bytes, *, redirected: bool) -> bool:
    """Whether an answer is a web page in the place of the object `name`.

    Args:
        name: of the object.
        media_type: which the answer says that it has; may be empty.
        first: its first `JUDGED_BYTES`, or all of it.
        redirected: whether another address than the requested one sent it.
    """
    if names_page(name) or _HTML.match(first) is None:
        return False
    if _PACKED.search(name):
        return True
    if not is_html_type(media_type):
        return False
    return redirected or _EXTENSION.search(name) is not None

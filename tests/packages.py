"""Small Debian packages built byte by byte, valid unless a test requests otherwise."""

import hashlib
import lzma
from collections.abc import Iterable, Sequence

from staging_api.debian.dsc import SourceFile
from staging_api.debian.forms import Form, pack
from staging_api.publishing.indices import IndexEntry, binary_entry

Member = tuple[str, bytes]


def control_text(
    package: str = "hello", version: str = "1.0-1", architecture: str = "amd64", **more: str
) -> str:
    """Return the control file of a binary package; further fields have ``_`` for ``-``."""
    fields = {"Package": package, "Version": version, "Architecture": architecture}
    fields |= {"Maintainer": "Ada <ada@example.org>", "Description": "a greeting\n It greets."}
    fields |= {name.replace("_", "-"): value for name, value in more.items()}
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


def tar_member(
    name: str,
    content: bytes = b"",
    kind: bytes = b"0",
    *,
    size: bytes | None = None,
    prefix: bytes = b"",
    magic: bytes = b"ustar\x0000",
) -> bytes:
    """Return one member of a tar, with the right checksum whatever its other fields claim."""
    size = b"%011o\0" % len(content) if size is None else size
    head = name.encode().ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + size
    tail = kind + bytes(100) + magic + bytes(32 + 32 + 16) + prefix.ljust(155, b"\0") + bytes(12)
    head += b"00000000000\0"
    checksum = sum(head) + sum(tail) + 8 * ord(" ")
    block = head + b"%06o\0 " % checksum + tail
    return block + content + bytes(-len(content) % 512)


def tar(members: Iterable[bytes]) -> bytes:
    """Return a tar of members from `tar_member`."""
    return b"".join(members) + bytes(1024)


def control_tar(text: str | bytes | None = None) -> bytes:
    """Return the control member of a package, uncompressed."""
    text = control_text() if text is None else text
    content = text.encode() if isinstance(text, str) else text
    return tar([tar_member("./", kind=b"5"), tar_member("./control", content)])


def ar_header(name: str, size: int | str) -> bytes:
    """Return the header of one ar member."""
    return f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{size:<10}`\n".encode()


def ar(members: Iterable[Member]) -> bytes:
    """Return an ar archive."""
    return b"!<arch>\n" + b"".join(
        ar_header(name, len(data)) + data + b"\n" * (len(data) % 2) for name, data in members
    )


def deb_members(
    text: str | bytes | None = None,
    form: Form = Form.XZ,
    *,
    archive: bytes | None = None,
    holds: str = "greeting",
) -> list[Member]:
    """Return the members of an installable package that contains one file, ``/usr/<holds>``."""
    data = tar(
        [
            tar_member("./", kind=b"5"),
            tar_member("./usr/", kind=b"5"),
            tar_member(f"./usr/{holds}", b"hello\n"),
        ]
    )
    return [
        ("debian-binary", b"2.0\n"),
        (f"control.tar{form}", _packed(form, archive or control_tar(text))),
        ("data.tar.gz", pack(Form.GZ, data)),
    ]


def _packed(form: Form, data: bytes) -> bytes:
    # Any xz preset will do. With ours, most of the time would be the allocation of the dictionary.
    return lzma.compress(data, preset=0) if form is Form.XZ else pack(form, data)


def deb(
    text: str | bytes | None = None,
    form: Form = Form.XZ,
    *,
    archive: bytes | None = None,
    holds: str = "greeting",
) -> bytes:
    """Return a whole package; `archive` replaces the control member before it is compressed."""
    return ar(deb_members(text, form, archive=archive, holds=holds))


def source_file(name: str, content: bytes) -> SourceFile:
    """Return the entry of a .dsc for a file."""
    return SourceFile(name, len(content), hashlib.sha256(content).hexdigest())


def dsc(
    files: Sequence[SourceFile], package: str = "hello", version: str = "1.0-1", **more: str
) -> str:
    """Return a .dsc that lists these files; further fields are named with ``_`` for ``-``."""
    lines = "".join(f"\n {file.sha256} {file.size_bytes} {file.name}" for file in files)
    fields = {"Format": "3.0 (quilt)", "Source": package, "Binary": package, "Version": version}
    fields |= {"Maintainer": "Ada <ada@example.org>", "Architecture": "any"}
    fields |= {"Checksums-Sha256": lines}
    fields |= {name.replace("_", "-"): value for name, value in more.items()}
    return "".join(f"{name}: {value}\n".replace(": \n", ":\n") for name, value in fields.items())


def clearsigned(text: str) -> str:
    """Return the text in the form of a clear-signed message, with an invalid signature."""
    escaped = "".join(
        f"- {line}\n" if line[:1] == "-" else f"{line}\n" for line in text.split("\n")
    )
    return (
        f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{escaped}"
        "-----BEGIN PGP SIGNATURE-----\n\niHUEARYKAB0=\n=abcd\n-----END PGP SIGNATURE-----\n"
    )


def entry(package: str = "hello", version: str = "1.0-1", padding: int = 0) -> IndexEntry:
    """Return an index entry of a package that was never built, with `padding` more bytes."""
    text = control_text(package, version, Padding="x" * (padding or 1)).strip()
    path = f"pool/main/h/hello/{package}_{version}_amd64.deb"
    return binary_entry(text, path, 1000, hashlib.sha256(path.encode()).hexdigest())

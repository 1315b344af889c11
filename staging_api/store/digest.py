"""Incremental digests of a stream, and their comparison with digests declared by a source."""

import hashlib
from collections.abc import Mapping

import google_crc32c


class Digests:
    """Digests of one stream: its sha256, and the one to compare with the source's declaration.

    Only the cheapest declared digest is compared: sha256, which is computed anyway, before crc32c,
    before sha512 and md5, which cost more than the two together.
    """

    def __init__(self, declared: Mapping[str, str], *, sha256: bool = True) -> None:
        """Start an empty stream; with `sha256=False` the receiver of the bytes computes it."""
        self._declared = declared
        self.size_bytes = 0
        #: Name of the declared digest that is compared, if any.
        names = ("sha256", "crc32c", "sha512", "md5")
        self.checked = next((name for name in names if name in declared), None)
        self._sha256 = hashlib.sha256() if sha256 else None
        # OpenSSL in FIPS mode refuses MD5 without this flag.
        self._md5 = hashlib.md5(usedforsecurity=False) if self.checked == "md5" else None
        self._sha512 = hashlib.sha512() if self.checked == "sha512" else None
        self._crc32c = _Crc32c() if self.checked == "crc32c" else None

    def update(self, chunk: bytes) -> None:
        """Add the next bytes."""
        self.size_bytes += len(chunk)
        for each in (self._sha256, self._md5, self._sha512, self._crc32c):
            if each is not None:
                each.update(chunk)

    def sha256(self, computed_elsewhere: str) -> str:
        """Return the sha256 in hex: computed here, or by the receiver."""
        return computed_elsewhere if self._sha256 is None else self._sha256.hexdigest()

    def broken(self, sha256: str) -> str | None:
        """Return the name of the declared digest that differs; None if it matches."""
        computed = {"sha256": sha256}
        if self._md5 is not None:
            computed["md5"] = self._md5.hexdigest()
        if self._sha512 is not None:
            computed["sha512"] = self._sha512.hexdigest()
        if self._crc32c is not None:
            computed["crc32c"] = self._crc32c.hexdigest()
        name = self.checked
        return name if name and computed[name] != self._declared[name] else None

    def compare_sha256(self, declared: Mapping[str, str]) -> None:
        """From now on compare with a sha256 that was declared after the stream was read."""
        self._declared, self.checked = declared, "sha256"


class _Crc32c:
    """CRC-32C with the methods of a hash."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, chunk: bytes) -> None:
        self._value = google_crc32c.extend(self._value, bytes(chunk))

    def hexdigest(self) -> str:
        return f"{self._value:08x}"

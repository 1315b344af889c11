"""Compute digests while bytes pass, and compare them with what a source told."""

import hashlib
from collections.abc import Mapping

import google_crc32c


class _Crc32c:
    """CRC-32C with the methods of a hash."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, chunk: bytes) -> None:
        self._value = google_crc32c.extend(self._value, bytes(chunk))

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


class Digests:
    """The digests of one stream: its sha256 if wanted, and what is needed to check what was told.

    One told digest is checked, the cheapest: sha256, which is computed anyway, before crc32c,
    before md5, which costs more than the two together.
    """

    def __init__(self, told: Mapping[str, str], *, sha256: bool = True) -> None:
        """Begin; `sha256=False` if whoever takes the bytes computes that one."""
        self._told = told
        self.size_bytes = 0
        #: The told digest that is compared, if any was told.
        self.checked = next((name for name in ("sha256", "crc32c", "md5") if name in told), None)
        self._sha256 = hashlib.sha256() if sha256 else None
        self._md5 = hashlib.md5(usedforsecurity=False) if self.checked == "md5" else None
        self._crc32c = _Crc32c() if self.checked == "crc32c" else None

    def update(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.size_bytes += len(chunk)
        for each in (self._sha256, self._md5, self._crc32c):
            if each is not None:
                each.update(chunk)

    def sha256(self, computed_elsewhere: str) -> str:
        """The sha256, in hex: our own, or that which was left to another."""
        return computed_elsewhere if self._sha256 is None else self._sha256.hexdigest()

    def broken(self, sha256: str) -> str | None:
        """The name of the told digest that does not hold; None if all is well."""
        computed = {"sha256": sha256}
        if self._md5 is not None:
            computed["md5"] = self._md5.hexdigest()
        if self._crc32c is not None:
            computed["crc32c"] = self._crc32c.hexdigest()
        name = self.checked
        return name if name and computed[name] != self._told[name] else None

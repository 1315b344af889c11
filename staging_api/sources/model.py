"""Data model of sources: options, objects, and the protocol that every scheme implements."""

import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from staging_api import environment
from staging_api.formats.names import shown
from staging_api.sources.breaker import Breakers
from staging_api.sources.url import is_safe_name

#: Maximum size of a chunk that a source yields.
CHUNK_BYTES = 1 << 20


def resolve(host: str, port: int) -> list[str]:
    """Return all addresses of a host, in the system's order of preference."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for _, _, _, _, address in found))


@dataclass(frozen=True)
class SourceOptions:
    """Options of all calls to sources.

    Attributes:
        connect_timeout_seconds: timeout for opening a connection.
        read_timeout_seconds: timeout for the next bytes to arrive.
        slowest_bytes_per_second: a body slower than this, over `slowest_window_seconds`, is cut.
        attempts: number of attempts of a request before it fails.
        backoff_seconds: pause before the second attempt; it doubles with each further one.
        backoff_cap_seconds: longest pause.
        redirects: maximum number of redirects for one request.
        manifests: names of the object that lists all others, written last by the uploader; the
            first existing one is used.
        most_names: maximum number of objects in one archive.
        authorization: the Authorization header by origin, such as ``https://host:port``.
        ca_file: trusted certificate authorities: for http instead of the system's, for buckets in
            addition.
        buckets: options of each bucket service by scheme (`SERVICES`).
        anonymous: buckets that are read without credentials, as ``scheme://bucket``.
        etag_is_md5: whether an ETag of a bucket object with the form of an MD5 is its MD5. It is
            not if customer-managed keys (KMS, CMEK) encrypt the objects.
        secret_parameters: further query parameters of archive URLs that are credentials, in lower
            case: they are sent, but never stored.
        proxies: proxies by scheme, and the exceptions under ``no``, from the environment.
        breakers: circuit breakers of the hosts.
        resolve: returns the addresses of a host and port.
        sleep: waits for a number of seconds.
    """

    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 30.0
    slowest_bytes_per_second: int = 1024
    slowest_window_seconds: float = 60.0
    attempts: int = 5
    backoff_seconds: float = 0.5
    backoff_cap_seconds: float = 20.0
    redirects: int = 5
    manifests: tuple[str, ...] = ("UPLOADED",)
    most_names: int = 100_000
    authorization: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: str | None = None
    buckets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    anonymous: frozenset[str] = frozenset()
    etag_is_md5: bool = True
    secret_parameters: frozenset[str] = frozenset()
    proxies: Mapping[str, str] = field(default_factory=environment.proxies, repr=False)
    breakers: Breakers = field(default_factory=Breakers)
    resolve: Callable[[str, int], list[str]] = resolve
    sleep: Callable[[float], None] = time.sleep

    @property
    def head_seconds(self) -> float:
        """Time limit for an http response until its body begins.

        The timeouts apply to each read, so a header that arrives byte by byte could take days.
        """
        waiting = self.connect_timeout_seconds + self.read_timeout_seconds
        return waiting + self.slowest_window_seconds


@dataclass(frozen=True)
class SourceObject:
    """An object of an archive, as described by its source.

    Attributes:
        name: name relative to the archive, with ``/`` between segments.
        url: URL without credentials; auditors see it as ``source_url``.
        size_bytes: length; None if the source does not declare it.
        version: changes whenever the content does (generation, ETag, or mtime and size);
            None if the source has none.
        digests: digests declared by the source or by `witness`, hex by algorithm (``md5``,
            ``crc32c``, ``sha256``, ``sha512``).
        strong: whether equal versions at the same URL guarantee equal content (a generation, a
            version id, a strong ETag); modification times are too coarse.
        witness: the witness that declares `digests`, such as ``SHA256SUMS signed by OpenPGP 0123``;
            None: the source itself.
        seals: detached signatures of the object, one of which must be good before any byte of it is
            used; see `staging.witnessed_source.vouch`.
    """

    name: str
    url: str
    size_bytes: int | None = None
    version: str | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    strong: bool = False
    witness: str | None = None
    seals: Sequence[str] = ()

    def proof_by(self, algorithm: str) -> str:
        """Return which declared digest was compared, and who declares it."""
        return algorithm if self.witness is None else f"{algorithm} of {self.witness}"


class Names(list[str]):
    """The names in an archive's list that can be requested.

    Attributes:
        left_out: the names in the list that cannot be requested: unsafe names (`is_safe_name`),
            pipes, unreadable folders.
    """

    def __init__(self, names: Iterable[str] = (), left_out: Sequence[str] = ()) -> None:
        super().__init__(names)
        self.left_out = tuple(left_out)

    @property
    def everything(self) -> list[str]:
        """All names, in a form to store: `Names.parted` separates them again."""
        return [*self, *map(_kept, self.left_out)]

    @classmethod
    def parted(cls, names: Iterable[str]) -> "Names":
        """Separate the names that can be requested from those that are left out."""
        safe: list[str] = []
        left_out: list[str] = []
        for name in names:
            (safe if is_safe_name(name) else left_out).append(name)
        return cls(safe, left_out)


def warnings_of(names: Iterable[str]) -> tuple[str, ...]:
    """Return at most one sentence about the names left out of a list."""
    left_out = names.left_out if isinstance(names, Names) else ()
    if not left_out:
        return ()
    counted = f"{len(left_out)} of the names in the archive's list are no safe names of objects"
    return (f"{counted}, and are left out; the first is {shown(left_out[0])}",)


class Source(Protocol):
    """Read access to the objects below one archive URL."""

    @property
    def url(self) -> str:
        """The archive's canonical URL."""

    def names(self) -> Names:
        """List all objects of the archive.

        Raises:
            ArchiveNotFound: there is nothing at that address.
            ArchiveUnsafe: a name could lead out of the archive's folder.
            SourceFailed: the source did not respond, or has no listing.
        """

    def stat(self, name: str) -> SourceObject:
        """Describe an object without reading it.

        Raises:
            ArtifactNotFound: there is no such object.
            SourceFailed: the source did not respond.
        """

    def open(
        self, found: SourceObject, start: int = 0, end: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Stream the bytes from `start` up to, but not including, `end` (None: to the last byte).

        Raises:
            SourceChanged: the object no longer has the version that `found` describes.
            SourceFailed: the source did not deliver every byte.
        """

    def close(self) -> None:
        """Close connections; the source is not used afterwards.

        A read in another thread ends soon, at the latest by its timeouts.
        """


@runtime_checkable
class OneRequestSource(Protocol):
    """A source that can describe an object by the same response that has its bytes."""

    def take(self, name: str) -> AbstractContextManager[tuple[SourceObject, Iterator[bytes]]]:
        """Read a whole object once; see `take`."""


@contextmanager
def take(source: Source, name: str) -> Iterator[tuple[SourceObject, Iterator[bytes]]]:
    """Read a whole object once, in whatever version.

    For objects whose responses never agree: nothing is compared with an earlier description.

    Raises:
        ArtifactNotFound: there is no such object.
        SourceFailed: the source did not deliver every byte.
    """
    if isinstance(source, OneRequestSource):
        with source.take(name) as taken:
            yield taken
        return
    found = source.stat(name)
    with source.open(found) as chunks:
        yield found, chunks


@runtime_checkable
class CodingSource(Protocol):
    """A source whose server may send objects in a coding that was not requested."""

    def switch_decoding(self, name: str) -> str:
        """From now on decode an object or not, unlike before; see `switch_decoding`."""


def switch_decoding(source: Source, name: str) -> str:
    """From now on decode an object that was read as sent, or the other way round.

    For an object whose content is wrong: servers declare a file that is compressed itself as coded,
    and others compress files on the way.

    Returns:
        The coding that the server declares; empty: there is only one way to read the object.
    """
    return source.switch_decoding(name) if isinstance(source, CodingSource) else ""


def _kept(left_out: str) -> str:
    """Return a name in a form that a database can store, and that is still not safe."""
    kept = left_out.encode(errors="backslashreplace").decode()
    return kept if kept == left_out else f"{kept}/"

"""Bucket services by URL scheme; this is their only list.

Archives are read from them, blobs are stored in them, and copies of APT archives are written to
them. A further service needs one entry here, and its settings `sources_<scheme>_<option>`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # not every installation has the library
    from obstore.store import AzureStore, GCSStore, S3Store

    BucketClient = AzureStore | GCSStore | S3Store


@dataclass(frozen=True)
class BucketService:
    """Properties of a bucket service.

    Attributes:
        client: ``module:class`` of the library's client for one bucket.
        options: options for the location of the bucket: our names, and the library's.
        firmly: other names for some options, under which they take precedence over every
            environment variable; versions of the library that lack these names do not read the
            variables.
        address: URL of the service if `endpoint` is not given; it may contain other options. Empty:
            only the library can derive the URL.
        required: options that must be set for a store; a source may take them from the environment.
        deletes_many: whether every server supports the request that deletes many objects.
        as_stored: request headers that return bytes as they are stored.
        clocks_differ_seconds: largest difference between its clock and ours for valid links.
    """

    client: str
    options: Mapping[str, str]
    firmly: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    required: tuple[str, ...] = ()
    deletes_many: bool = True
    as_stored: Mapping[str, str] = field(default_factory=dict)
    clocks_differ_seconds: float = 30.0

    def connect(self, bucket: str, where: Mapping[str, str], **more: Any) -> "BucketClient":
        """Return a client for one bucket, without opening a connection.

        Args:
            bucket: name of the bucket; on Azure, of the container.
            where: values of `options`; an empty value counts as absent.
            more: arguments of the library's client that all services share.
        """
        from obstore.exceptions import UnknownConfigurationKeyError

        made: Callable[..., BucketClient] = resolve_name(self.client)
        given = {option: value for option, value in where.items() if value}
        plain = {self.options[option]: value for option, value in given.items()}
        firm = {self.firmly.get(o, self.options[o]): value for o, value in given.items()}
        try:
            return made(bucket, **firm, **more)
        except UnknownConfigurationKeyError:
            return made(bucket, **plain, **more)

    def address_of(self, where: Mapping[str, str]) -> str:
        """Return the URL of the service; empty: only the library knows the URL."""
        known = {option: where.get(option, "") for option in self.options}
        return known["endpoint"] or self.address.format(**known)


SERVICES: Mapping[str, BucketService] = {
    "gs": BucketService(
        "obstore.store:GCSStore",
        {"endpoint": "base_url"},
        address="https://storage.googleapis.com",
        # Unless a client sends this header, Google decompresses objects that are stored with gzip,
        # and sends them without a length. The library does not decompress, so listings must not be
        # compressed.
        as_stored={"Accept-Encoding": "gzip"},
    ),
    "s3": BucketService(
        "obstore.store:S3Store",
        {"endpoint": "endpoint", "region": "region"},
        firmly={"endpoint": "aws_endpoint_url_s3"},
        deletes_many=False,
    ),
    "az": BucketService(
        "obstore.store:AzureStore",
        {"endpoint": "endpoint", "account": "account_name"},
        address="https://{account}.blob.core.windows.net",
        required=("account",),
        # The library's links become valid in the second in which they are signed.
        clocks_differ_seconds=2.0,
    ),
}

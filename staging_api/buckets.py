"""The services that keep objects in buckets, by the scheme of their URLs: the only list of them.

Archives are read from them, blobs are stored in them, and copies of APT archives are written to
them. Another service is one entry here, and its settings `sources_<scheme>_<option>`.
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
    """What differs between services.

    Attributes:
        client: ``module:class`` of the library's client of one bucket.
        options: where the bucket is: our names, and the library's.
        firmly: other names for some of these, by which they count before every variable of the
            environment; versions of the library that lack the names do not read the variables.
        address: of the service, where `endpoint` is not given; it may name other options. Empty:
            it depends on more, which only the library knows.
        required: options that a store has to be given; a source may find them in the environment.
        deletes_many: whether every server has the request that deletes many objects.
        as_stored: headers of a request for bytes as they are stored.
        clocks_differ_seconds: how far its clock and ours may differ for a link to hold.
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
        """Return a client of one bucket; makes no connection yet.

        Args:
            bucket: its name, at Azure that of the container.
            where: values of `options`; an empty one is as none.
            more: arguments of the library's client, the same for all services.
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
        """The address of the service; empty: only the library knows."""
        known = {option: where.get(option, "") for option in self.options}
        return known["endpoint"] or self.address.format(**known)


SERVICES: Mapping[str, BucketService] = {
    "gs": BucketService(
        "obstore.store:GCSStore",
        {"endpoint": "base_url"},
        address="https://storage.googleapis.com",
        # Google unpacks what is stored with gzip for clients that do not say this, and sends it
        # without a length. The library does not unpack, so listings must not come packed.
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
        # The library's links begin to hold at the second in which they are signed.
        clocks_differ_seconds=2.0,
    ),
}

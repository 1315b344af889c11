"""Settings of sources: which archives are read, how, and how their objects are verified."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from staging_api.settings.group import Seconds, SettingsGroup


class SourceSettings(SettingsGroup):
    """How archives are read and unpacked."""

    sources: str = Field(
        "", description="allow-list of archive_url prefixes, comma separated; empty allows none"
    )
    sources_gs_endpoint: str = Field(
        "", description="address of `gs://`, if not Google's: http(s)://host:port"
    )
    sources_s3_endpoint: str = Field(
        "", description="address of `s3://`, if not Amazon's: http(s)://host:port"
    )
    sources_s3_region: str = Field(
        "", description="its region; empty: from the usual environment of AWS"
    )
    sources_az_account: str = Field(
        "", description="storage account of `az://`; empty: from the usual environment of Azure"
    )
    sources_az_endpoint: str = Field(
        "",
        description="address of that account, if not Azure's: http(s)://host:port or with a path",
    )
    sources_anonymous: str = Field(
        "", description="buckets read without credentials, comma separated: gs://builds"
    )
    sources_authorization_file: Path | None = Field(
        None, description="Authorization headers of http sources, a line each: https://host header"
    )
    sources_ca_file: Path | None = Field(
        None, description="certificate authorities of sources; empty: the system's"
    )
    sources_connect_seconds: Seconds = Field(10, description="time-out for connecting to a source")
    sources_read_seconds: Seconds = Field(
        30, description="time-out for the next bytes of a source; then it is retried"
    )
    # The time-out of a read never ends a source that sends a byte now and then.
    sources_slowest_bytes_per_second: int = Field(
        1024, ge=0, description="a source that sends less for a minute is retried"
    )
    sources_attempts: int = Field(
        5, ge=1, le=100, description="attempts of one request to a source"
    )
    sources_connections: int = Field(
        8,
        ge=1,
        le=64,
        description="connections at once for one object, if a source limits each of them",
    )
    sources_manifest: str = Field(
        "UPLOADED",
        description="the object, written last, that names all others of an archive;"
        " several names, comma separated: the first that is there",
    )
    sources_secret_parameters: str = Field(
        "",
        description="further query parameters of archive URLs that are credentials: sent, never"
        " stored; comma separated",
    )
    # The ETag of these objects is no digest of their content, so each object would look damaged.
    sources_etag_is_md5: bool = Field(
        True, description="`no` for buckets whose objects are encrypted by customer-managed keys"
    )
    require_verified: str = Field(
        "",
        description="what must vouch for objects, comma separated: digest, signature or nothing for"
        " all archives, prefix=word for those below a URL; empty: nothing",
    )
    verify_keys: str = Field(
        "",
        description="public keys of publishers, comma separated: files, or folders of files; read"
        " at each use",
    )
    unpack_bytes: int = Field(
        64 << 30, ge=1, description="what one container file may unpack to, in all"
    )
    unpack_member_bytes: int = Field(
        32 << 30, ge=1, description="the largest file that may come out of it"
    )
    unpack_members: int = Field(1_000_000, ge=1, description="the most members that it may have")
    unpack_ratio: Annotated[float, Field(ge=0)] = Field(
        200,
        description="unpacked bytes per packed byte, beyond the first GiB: more counts as a bomb;"
        " 0: no limit",
    )
    unpack_depth: int = Field(64, ge=0, description="folders above a member")
    unpack_header_bytes: int = Field(
        64 << 20, ge=1024, description="the longest directory of a zip, which is held in memory"
    )
    # A decoder allocates all of it at once, whatever the size of the stream.
    unpack_window_bytes: int = Field(
        256 << 20,
        ge=1 << 20,
        description="memory for the window of a compressed stream: `zstd --long=31` needs 2 GiB",
    )
    packs: Literal["auto", "yes", "no"] = Field(
        "auto",
        description="whether the small members of a container file go into one pack; `auto`: unless"
        " the database was made by a version that cannot read packs",
    )
    pack_file_bytes: int = Field(
        64 << 10, ge=1, le=1 << 20, description="shorter members go into packs"
    )

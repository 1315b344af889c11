"""External validators: HTTP services that check rendered documents before a commit.

The request body is ``{rel, href, type}``; ``href`` is the address of the rendered documents of the
revision. A validator responds with status 200 or 400 and a messageList; any other response becomes
one error message. The requests run in parallel, each with a time limit.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from staging_api.documents.messages import Message, validation_message
from staging_api.errors import Invalid, Unavailable
from staging_api.http_url import is_http_url
from staging_api.small_files import read_small_file

log = logging.getLogger(__name__)

_SETTING = "STAGING_DOCUMENTS_VALIDATORS"
_CONNECT_SECONDS = 5.0
_MAX_ANSWER_BYTES = 4 << 20
_ANSWERS = (200, 400)


@dataclass(frozen=True)
class Validator:
    """A validator from the setting."""

    name: str
    url: str


@dataclass(frozen=True)
class Validators:
    """The configured validators.

    Attributes:
        seconds: time limit for each request, in total.
        public_url: address of this service for the validators.
        token_file: file with the token to send as X-Auth-Token; None: send no token.
    """

    validators: tuple[Validator, ...] = ()
    seconds: float = 60.0
    public_url: str = ""
    token_file: Path | None = None

    def ask(self, revision: int, reference_id: str | None) -> list[Message]:
        """Call all validators in parallel; return their messages in the order of the setting.

        Raises:
            Unavailable: the token file is not readable at the moment.
        """
        if not self.validators:
            return []
        body = json.dumps(
            {
                "rel": "design",
                "href": f"{self.public_url}/api/v1.0/renderedconfigdocs?revision={revision}",
                "type": "application/x-yaml",
            }
        ).encode()
        headers = {"Content-Type": "application/json"}
        if reference_id:
            headers["X-Context-Marker"] = reference_id
        if self.token_file is not None:
            headers["X-Auth-Token"] = _token(self.token_file)
        with ThreadPoolExecutor(len(self.validators), "validator") as pool:
            answers = [pool.submit(self._ask, each, body, headers) for each in self.validators]
            return [message for each in answers for message in each.result()]

    def _ask(self, validator: Validator, body: bytes, headers: Mapping[str, str]) -> list[Message]:
        try:
            given = _answer(validator.url, body, headers, self.seconds)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong there is its answer
            return [_unable(validator.name, error)]
        return [
            validation_message(each, source=validator.name, error=False, documents=[])
            for each in given
        ]


def parse_validators(text: str) -> tuple[Validator, ...]:
    """Parse the setting: ``name=http://host/validatedesign``, separated by commas.

    Raises:
        Invalid: an entry has no name, or no HTTP address.
    """
    found = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, url = (part.strip() for part in entry.partition("="))
        if not name or not is_http_url(url):
            raise Invalid.field(_SETTING, f"{entry!r} must be name=http://host/path")
        found.append(Validator(name, url))
    return tuple(found)


def _token(path: Path) -> str:
    try:
        return read_small_file(path).strip()
    except OSError as error:
        log.error("the token for validators, %s, cannot be read: %s", path, error.strerror)  # noqa: TRY400
        raise Unavailable(
            "the token for validators cannot be read just now", retry_after_seconds=5
        ) from None


def _answer(
    url: str, body: bytes, headers: Mapping[str, str], seconds: float
) -> Sequence[Mapping[str, Any]]:
    import urllib3

    from staging_api.call_deadline import limited, obey

    with obey(urllib3.PoolManager(retries=False)) as pool, limited(seconds) as limit:
        try:
            with pool.request(
                "POST",
                url,
                body=body,
                headers=dict(headers),
                timeout=urllib3.Timeout(connect=min(_CONNECT_SECONDS, seconds), read=seconds),
                # A redirect would send the token to another server.
                redirect=False,
                preload_content=False,
            ) as answer:
                if answer.status not in _ANSWERS:
                    raise ValueError(f"status {answer.status}")
                raw = answer.read(_MAX_ANSWER_BYTES + 1)
                # When the time limit closes the connection, a body without a length ends without an
                # error.
                if limit.over:
                    raise TimeoutError
        except (urllib3.exceptions.HTTPError, OSError):
            if limit.over:
                raise TimeoutError("the answer did not end in time") from None
            raise
    if len(raw) > _MAX_ANSWER_BYTES:
        raise ValueError(f"more than {_MAX_ANSWER_BYTES} bytes")
    return _messages(answer.status, json.loads(raw))


def _messages(status: int, document: Any) -> Sequence[Mapping[str, Any]]:
    details = document.get("details") if isinstance(document, dict) else None
    if not isinstance(details, dict):
        raise TypeError("the answer has no details")
    listed = details.get("messageList") or []
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise TypeError("details.messageList is not a list of messages")
    if status != _ANSWERS[0] and not any(each.get("error") for each in listed):
        # A refusal without a message remains a refusal.
        text = str(document.get("message") or "refused without a message")
        return [*listed, {"message": text, "error": True}]
    return listed


def _unable(name: str, error: Exception) -> Message:
    return validation_message(
        {
            "message": f"{name} unable to validate configdocs or an invalid response has been"
            " returned",
            "diagnostic": f"{type(error).__name__}: {error}",
        },
        error=True,
        level="Error",
        source=name,
    )

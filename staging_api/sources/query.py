"""Split a URL's query into parameters that identify an object, and parameters that grant access.

A signed URL has another text each time, but names the same object. Therefore the identity of an
archive, which is used in locks, rows, logs and responses, excludes the parameters of known signers
and those with the names of credentials; requests use the query as it was given.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote_plus

#: Names of parameters that are always credentials, in lower case.
CREDENTIALS = frozenset(
    {
        *("access_token", "auth_token", "job_token", "private_token", "token", "jwt"),
        *("api-key", "api_key", "apikey", "auth", "authorization", "sas", "sig", "signature"),
        *("passwd", "password", "secret"),
    }
)
#: Prefixes of parameters that change headers of the response, but not its bytes.
_RESPONSE_PARAMETERS = ("response-content-", "response-cache-", "response-expires", "x-id")
_SEPARATORS_OF_VALUES = "/:@!$'()*,;~."


@dataclass(frozen=True)
class _Signer:
    """Parameters of one service's signatures.

    Attributes:
        marks: parameters that are all present in a signed URL.
        names: further parameters that belong to the signature.
        prefix: common prefix of all parameters of the signature, if they have one.
        signs_one: returns whether a signature is for a single object, by the parameters in lower
            case.
    """

    marks: frozenset[str]
    names: frozenset[str] = frozenset()
    prefix: str | None = None
    signs_one: Callable[[Mapping[str, str]], bool] = lambda _given: True


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SIGNERS = (
    _Signer(_words("x-amz-signature"), prefix="x-amz-"),
    _Signer(_words("x-goog-signature"), prefix="x-goog-"),
    _Signer(_words("x-oss-signature"), prefix="x-oss-"),
    # CloudFront: a policy may apply to a whole folder.
    _Signer(
        _words("signature key-pair-id"),
        _words("policy expires hash-algorithm"),
        signs_one=lambda given: "policy" not in given,
    ),
    # Old signatures of S3 and Google Cloud Storage; Alibaba; Google's CDN.
    _Signer(
        _words("signature expires"),
        _words("awsaccesskeyid googleaccessid ossaccesskeyid keyname security-token urlprefix"),
        prefix="x-amz-security-",
        signs_one=lambda given: "urlprefix" not in given,
    ),
    # Azure; the signature of a container or a folder is of another kind.
    _Signer(
        _words("sig sv"),
        _words(
            "ss srt sp se st spr sr sip si sdd skoid sktid skt ske sks skv saoid suoid scid ses"
        ),
        signs_one=lambda given: given.get("sr") == "b",
    ),
)


@dataclass(frozen=True)
class SplitQuery:
    """A query split in two parts.

    Attributes:
        identity: the parameters that identify an object, in a canonical order and spelling.
        has_credential: whether there were credentials.
        of_one_object: whether the credential is for one object, and not for a folder.
    """

    identity: str
    has_credential: bool
    of_one_object: bool


def split_query(text: str, secret: Collection[str] = ()) -> SplitQuery:
    """Split a query.

    Args:
        text: query without its question mark.
        secret: further names of parameters that are credentials, in lower case.
    """
    pairs = [_pair(word) for word in text.split("&") if word]
    given = {name.lower(): value for name, value in pairs}
    signers = [signer for signer in _SIGNERS if signer.marks <= given.keys()]
    names = CREDENTIALS.union(secret, *(signer.marks | signer.names for signer in signers))
    prefixes = tuple(signer.prefix for signer in signers if signer.prefix)

    def is_credential(name: str) -> bool:
        return name in names or name.startswith(prefixes)

    identity = sorted(
        (name, value)
        for name, value in pairs
        if not is_credential(name.lower()) and not name.lower().startswith(_RESPONSE_PARAMETERS)
    )
    return SplitQuery(
        "&".join(f"{_spelt(name)}={_spelt(value)}" for name, value in identity),
        has_credential=any(map(is_credential, given)),
        of_one_object=any(signer.signs_one(given) for signer in signers),
    )


def _pair(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return unquote_plus(name), unquote_plus(value)


def _spelt(text: str) -> str:
    return quote(text, safe=_SEPARATORS_OF_VALUES)

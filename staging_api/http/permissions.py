"""THE table of who may call what: route and method on the left, roles on the right.

What is not in the table is refused, to everybody. A route that is added to the application and not
to the table fails a test, and is refused until then.
"""

from collections.abc import Mapping

from staging_api.http.resources.devserver.help import OUT_OF_SCOPE
from staging_api.identity.model import Role

API = "/api/v1.0"

Roles = frozenset[Role]

#: Nobody is asked for a credential: probes, and documents without a secret.
ANYBODY: Roles = frozenset()
#: The records: who staged what, when, under which lock.
READERS: Roles = frozenset(Role) - {Role.DEVICE}
#: What is staged. An auditor proves what happened, and needs no build for it.
CONTENT: Roles = READERS - {Role.AUDITOR}
#: The files alone. A device that installs them learns nothing of who staged them.
FILES: Roles = CONTENT | {Role.DEVICE}
STAGERS: Roles = frozenset({Role.STAGER})
#: Stopping work: whoever may begin it, and whoever keeps the service running.
STOPPERS: Roles = frozenset({Role.STAGER, Role.OPERATOR})
OPERATORS: Roles = frozenset({Role.OPERATOR})
PUBLISHERS: Roles = frozenset({Role.PUBLISHER})
#: What clients of an APT archive see: changed by runs, and by whoever goes back from a bad one.
KEEPERS: Roles = frozenset({Role.PUBLISHER, Role.OPERATOR})

#: Configuration documents: changed and committed by whoever deploys from them.
DEPLOYERS: Roles = frozenset({Role.STAGER, Role.OPERATOR})
#: Encrypted documents in the clear, for whoever asks.
SECRETS: Roles = frozenset({Role.OPERATOR})

# The devserver's paths: GET whatever they do, by clients that have no credential to send.
_DEVSERVER: Mapping[str, Roles] = {
    **dict.fromkeys(("/download", "/stage", "/stage_images", "/stage_debug"), STAGERS),
    **dict.fromkeys(("/wait_for_status", "/is_staged", "/list_image_dir"), CONTENT),
    **dict.fromkeys(("/latestbuild", "/controlfiles", "/list_suite_controls"), CONTENT),
    "/api/fileinfo/{path:path}": CONTENT,
    **dict.fromkeys(("/download/{bucket}/{path:path}", "/extract/{bucket}/{path:path}"), STAGERS),
    **dict.fromkeys(("/check_health", "/index", "/doc/{name:path}"), ANYBODY),
}
# What is not here says why, to devices that post an update check as well.
_NOT_HERE = [f"/{path}{rest}" for path in OUT_OF_SCOPE for rest in ("", "/{rest:path}")]

_ARCHIVE = f"{API}/apt-archives/{{archive}}"
_DISTRIBUTION = f"{API}/distributions/{{archive}}"
_PUBLISHER: Mapping[str, Mapping[str, Roles]] = {
    "/archive/{archive}/{path:path}": {"GET": FILES, "HEAD": FILES},
    f"{API}/apt-archives": {"GET": READERS, "POST": PUBLISHERS},
    _ARCHIVE: {"GET": READERS, "PATCH": PUBLISHERS},
    f"{_ARCHIVE}/suites": {"POST": PUBLISHERS},
    f"{_ARCHIVE}/suites/{{suite}}": {"PATCH": PUBLISHERS},
    f"{_ARCHIVE}/packages": {"GET": READERS},
    f"{_ARCHIVE}/packages/{{package_id:int}}": {"DELETE": PUBLISHERS},
    f"{_ARCHIVE}/uploads": {"GET": READERS, "POST": PUBLISHERS},
    f"{API}/uploads/{{upload_id}}": {"GET": READERS},
    f"{API}/uploads/{{upload_id}}/accept": {"POST": PUBLISHERS},
    f"{API}/uploads/{{upload_id}}/reject": {"POST": PUBLISHERS},
    f"{API}/publications": {"GET": READERS, "POST": PUBLISHERS},
    f"{API}/publications/{{publication_id}}": {"GET": READERS},
    f"{API}/distributions": {"GET": READERS},
    _DISTRIBUTION: {"GET": READERS, "PATCH": KEEPERS},
    f"{_DISTRIBUTION}/holds/{{suite}}": {"PUT": KEEPERS, "DELETE": KEEPERS},
    f"{_DISTRIBUTION}/generations": {"GET": READERS},
    f"{_DISTRIBUTION}/files": {"GET": READERS},
    f"{API}/generations/{{generation_id}}/pin": {"PUT": KEEPERS, "DELETE": KEEPERS},
}

_REVISION = f"{API}/document-revisions/{{number:int}}"


def _read(roles: Roles) -> dict[str, Roles]:
    return {"GET": roles, "HEAD": roles}


_DOCUMENTS: Mapping[str, Mapping[str, Roles]] = {
    "/versions": _read(ANYBODY),
    f"{API}/health": _read(ANYBODY),
    f"{API}/configdocs": _read(READERS),
    f"{API}/configdocs/{{collection}}": _read(READERS) | {"POST": DEPLOYERS},
    f"{API}/commitconfigdocs": {"POST": DEPLOYERS},
    f"{API}/renderedconfigdocs": _read(READERS),
    f"{API}/documents/{{namespace}}/{{kind}}/{{version}}/{{name:path}}": _read(READERS),
    f"{API}/document-buffer": _read(READERS) | {"DELETE": DEPLOYERS},
    f"{API}/document-buffer/{{collection}}": {"DELETE": DEPLOYERS},
    f"{API}/document-differences": _read(READERS),
    f"{API}/document-revisions": _read(READERS),
    _REVISION: _read(READERS),
    f"{_REVISION}/rollback": {"POST": DEPLOYERS},
    f"{_REVISION}/confirm": {"POST": DEPLOYERS},
    f"{_REVISION}/tags/{{tag}}": {"PUT": DEPLOYERS, "DELETE": DEPLOYERS},
    f"{API}/document-site-actions": {"POST": DEPLOYERS},
}

ALLOWED: Mapping[str, Mapping[str, Roles]] = {
    "/livez": {"GET": ANYBODY},
    "/readyz": {"GET": ANYBODY},
    "/metrics": {"GET": ANYBODY},
    "/openapi.json": {"GET": ANYBODY},
    "/static/{path:path}": {"GET": FILES, "HEAD": FILES},
    f"{API}/stagings": {"GET": READERS, "POST": STAGERS},
    f"{API}/stagings/{{staging_id}}": {"GET": READERS, "DELETE": STOPPERS},
    f"{API}/stagings/{{staging_id}}/events": {"GET": READERS},
    f"{API}/artifacts": {"GET": READERS},
    f"{API}/artifacts/{{artifact_id}}": {"GET": READERS, "DELETE": OPERATORS},
    f"{API}/artifacts/{{artifact_id}}/pin": {"POST": OPERATORS},
    f"{API}/locks": {"GET": READERS},
    f"{API}/locks/{{lock_id}}": {"GET": READERS, "DELETE": OPERATORS},
    **_PUBLISHER,
    **_DOCUMENTS,
    "/symbolicate_dump": {"POST": STAGERS},
    **{template: {"GET": roles} for template, roles in _DEVSERVER.items()},
    **{template: {"GET": ANYBODY, "POST": ANYBODY} for template in _NOT_HERE},
}


_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def allowed(template: str | None, method: str) -> Roles | None:
    """The roles that may call it; `ANYBODY` needs none, None: nobody may."""
    return ALLOWED.get(template or "", {}).get(method)


def does_something(template: str | None, method: str) -> bool:
    """Whether a request may change something: by its method, or as the devserver's GETs do."""
    roles = allowed(template, method)
    return method not in _SAFE or (bool(roles) and roles == STAGERS)


def methods_of(template: str | None) -> list[str]:
    """The methods of a route that somebody may call."""
    return list(ALLOWED.get(template or "", {}))

"""The operation ids of the OpenAPI document, by which generators name the functions of a client.

They are part of the contract: an id that was released does not change.
"""

import re
from collections.abc import Mapping

_API = "/api/v1.0"

#: By path and method; an operation that is not here is named by its path.
_NAMES: Mapping[str, Mapping[str, str]] = {
    "/": {"get": "get_start"},
    f"{_API}/me": {"get": "get_caller"},
    f"{_API}/stagings": {"get": "list_stagings", "post": "create_staging"},
    f"{_API}/stagings/{{staging_id}}": {"get": "get_staging", "delete": "cancel_staging"},
    f"{_API}/stagings/{{staging_id}}/events": {"get": "follow_staging_events"},
    f"{_API}/events": {"get": "list_events"},
    f"{_API}/archives": {"get": "list_archives"},
    f"{_API}/counts": {"get": "count_events"},
    f"{_API}/processes": {"get": "list_processes"},
    f"{_API}/store": {"get": "get_store"},
    f"{_API}/store/prune": {"post": "prune_store"},
    f"{_API}/store/prunes": {"get": "list_prunes"},
    f"{_API}/artifacts": {"get": "list_artifacts"},
    f"{_API}/artifacts/{{artifact_id}}": {"get": "get_artifact", "delete": "evict_artifact"},
    f"{_API}/artifacts/{{artifact_id}}/files": {"get": "list_artifact_files"},
    f"{_API}/artifacts/{{artifact_id}}/pin": {"post": "pin_artifact"},
    f"{_API}/catalogue": {"get": "list_catalogues"},
    f"{_API}/catalogue/check": {"post": "check_catalogue"},
    f"{_API}/locks": {"get": "list_locks"},
    f"{_API}/locks/{{lock_id}}": {"get": "get_lock", "delete": "break_lock"},
    f"{_API}/locks/{{lock_id}}/waiters": {"get": "list_lock_waiters"},
    f"{_API}/apt-archives": {"get": "list_apt_archives", "post": "create_apt_archive"},
    f"{_API}/apt-archives/{{archive}}": {"get": "get_apt_archive", "patch": "update_apt_archive"},
    f"{_API}/apt-archives/{{archive}}/suites": {"post": "create_suite"},
    f"{_API}/apt-archives/{{archive}}/suites/{{suite}}": {"patch": "update_suite"},
    f"{_API}/apt-archives/{{archive}}/packages": {"get": "list_packages"},
    f"{_API}/apt-archives/{{archive}}/packages/{{package_id}}": {"delete": "delete_package"},
    f"{_API}/apt-archives/{{archive}}/uploads": {"get": "list_uploads", "post": "create_upload"},
    f"{_API}/uploads/{{upload_id}}": {"get": "get_upload"},
    f"{_API}/uploads/{{upload_id}}/accept": {"post": "accept_upload"},
    f"{_API}/uploads/{{upload_id}}/reject": {"post": "reject_upload"},
    f"{_API}/publications": {"get": "list_publications", "post": "create_publication"},
    f"{_API}/publications/{{publication_id}}": {"get": "get_publication"},
    f"{_API}/distributions": {"get": "list_distributions"},
    f"{_API}/distributions/{{archive}}": {
        "get": "get_distribution",
        "patch": "roll_back_distribution",
    },
    f"{_API}/distributions/{{archive}}/holds/{{suite}}": {
        "put": "hold_suite",
        "delete": "lift_suite",
    },
    f"{_API}/distributions/{{archive}}/generations": {"get": "list_generations"},
    f"{_API}/distributions/{{archive}}/files": {"get": "list_distribution_files"},
    f"{_API}/generations/{{generation_id}}/pin": {
        "put": "pin_generation",
        "delete": "unpin_generation",
    },
    f"{_API}/documents/{{namespace}}/{{kind}}/{{version}}/{{name}}": {"get": "get_document"},
    f"{_API}/document-buffer": {
        "get": "get_document_buffer",
        "delete": "discard_document_buffer",
    },
    f"{_API}/document-buffer/{{collection}}": {"delete": "discard_document_collection"},
    f"{_API}/document-differences": {"get": "get_document_differences"},
    f"{_API}/document-revisions": {"get": "list_document_revisions"},
    f"{_API}/document-revisions/{{number}}": {"get": "get_document_revision"},
    f"{_API}/document-revisions/{{number}}/rollback": {"post": "roll_back_documents"},
    f"{_API}/document-revisions/{{number}}/confirm": {"post": "confirm_document_revision"},
    f"{_API}/document-revisions/{{number}}/tags/{{tag}}": {
        "put": "tag_document_revision",
        "delete": "untag_document_revision",
    },
    f"{_API}/document-site-actions": {"post": "create_site_action"},
}

_VERBS = {"post": "create", "patch": "update"}


def operation_id(path: str, method: str) -> str:
    """Return the id of an operation of ours: a verb and what it is about."""
    given = _NAMES.get(path, {}).get(method)
    if given is not None:
        return given
    words = path.removeprefix(_API).replace("{", "by_").lower()
    return "_".join([_VERBS.get(method, method), *re.findall(r"[a-z0-9_]+", words)])

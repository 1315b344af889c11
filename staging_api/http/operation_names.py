"""Operation ids of the OpenAPI document, by which generators name the functions of a client.

They are part of the contract: a released id does not change. Nor does a group (tag).
"""

import re
from collections.abc import Mapping

_API = "/api/v1.0"

#: Ids by path below `_API` and method; any other operation is named by its path.
_NAMES: Mapping[str, Mapping[str, str]] = {
    "/": {"get": "get_start"},
    "/me": {"get": "get_caller"},
    "/stagings": {"get": "list_stagings", "post": "create_staging"},
    "/stagings/{staging_id}": {"get": "get_staging", "delete": "cancel_staging"},
    "/stagings/{staging_id}/events": {"get": "follow_staging_events"},
    "/events": {"get": "list_events"},
    "/archives": {"get": "list_archives"},
    "/counts": {"get": "count_events"},
    "/processes": {"get": "list_processes"},
    "/store": {"get": "get_store"},
    "/store/prune": {"post": "prune_store"},
    "/store/prunes": {"get": "list_prunes"},
    "/artifacts": {"get": "list_artifacts"},
    "/artifacts/{artifact_id}": {"get": "get_artifact", "delete": "evict_artifact"},
    "/artifacts/{artifact_id}/files": {"get": "list_artifact_files"},
    "/artifacts/{artifact_id}/pin": {"post": "pin_artifact"},
    "/catalogue": {"get": "list_catalogues"},
    "/catalogue/check": {"post": "check_catalogue"},
    "/locks": {"get": "list_locks"},
    "/locks/{lock_id}": {"get": "get_lock", "delete": "break_lock"},
    "/locks/{lock_id}/waiters": {"get": "list_lock_waiters"},
    "/apt-archives": {"get": "list_apt_archives", "post": "create_apt_archive"},
    "/apt-archives/{archive}": {"get": "get_apt_archive", "patch": "update_apt_archive"},
    "/apt-archives/{archive}/suites": {"post": "create_suite"},
    "/apt-archives/{archive}/suites/{suite}": {"patch": "update_suite"},
    "/apt-archives/{archive}/packages": {"get": "list_packages"},
    "/apt-archives/{archive}/packages/{package_id}": {"delete": "delete_package"},
    "/apt-archives/{archive}/uploads": {"get": "list_uploads", "post": "create_upload"},
    "/uploads/{upload_id}": {"get": "get_upload"},
    "/uploads/{upload_id}/accept": {"post": "accept_upload"},
    "/uploads/{upload_id}/reject": {"post": "reject_upload"},
    "/publications": {"get": "list_publications", "post": "create_publication"},
    "/publications/{publication_id}": {"get": "get_publication"},
    "/distributions": {"get": "list_distributions"},
    "/distributions/{archive}": {"get": "get_distribution", "patch": "roll_back_distribution"},
    "/distributions/{archive}/holds/{suite}": {"put": "hold_suite", "delete": "lift_suite"},
    "/distributions/{archive}/generations": {"get": "list_generations"},
    "/distributions/{archive}/files": {"get": "list_distribution_files"},
    "/generations/{generation_id}/pin": {"put": "pin_generation", "delete": "unpin_generation"},
    "/documents/{namespace}/{kind}/{version}/{name}": {"get": "get_document"},
    "/document-buffer": {"get": "get_document_buffer", "delete": "discard_document_buffer"},
    "/document-buffer/{collection}": {"delete": "discard_document_collection"},
    "/document-differences": {"get": "get_document_differences"},
    "/document-revisions": {"get": "list_document_revisions"},
    "/document-revisions/{number}": {"get": "get_document_revision"},
    "/document-revisions/{number}/rollback": {"post": "roll_back_documents"},
    "/document-revisions/{number}/confirm": {"post": "confirm_document_revision"},
    "/document-revisions/{number}/tags/{tag}": {
        "put": "tag_document_revision",
        "delete": "untag_document_revision",
    },
    "/document-site-actions": {"post": "create_site_action"},
}

_VERBS = {"post": "create", "patch": "update"}
#: Groups by the first word of a path; other paths are in the group of this word.
_TAGS = {
    "": "about",
    "me": "about",
    "processes": "about",
    "counts": "events",
    "generations": "distributions",
    "uploads": "apt-archives",
}


def operation_id(path: str, method: str) -> str:
    """Return the id of one of our operations: a verb and its object."""
    below = path.removeprefix(_API)
    given = _NAMES.get(below, {}).get(method)
    if given is not None:
        return given
    words = below.replace("{", "by_").lower()
    return "_".join([_VERBS.get(method, method), *re.findall(r"[a-z0-9_]+", words)])


def tag_of(path: str) -> str:
    """Return the group of the operations of one of our paths: their subject."""
    word = path.removeprefix(_API).split("/")[1]
    return "documents" if word.startswith("document-") else _TAGS.get(word, word)

"""Examples of bodies about configuration documents."""

from collections.abc import Mapping
from typing import Any

from staging_api.http.example_values import EARLY, LOCK, SHA256, page

_REVISION = {
    "number": 12,
    "kind": "posted",
    "collection": "site",
    "copied_from": None,
    "digest": SHA256,
    "caller": "ci",
    "reference_id": None,
    "reason": "a second rack",
    "lock_id": LOCK,
    "created_at": EARLY,
    "commit": None,
    "tags": [],
}
_IDENTITY = {"schema": "shop/Rack/v1", "layer": "site", "name": "rack-2"}
_STATUS = {
    "kind": "Status",
    "apiVersion": "v1.0",
    "metadata": {},
    "status": "Success",
    "message": "Validations succeeded",
    "reason": "Validation",
    "code": "200 OK",
    "details": {"errorCount": 0, "messageList": []},
}

DOCUMENT_EXAMPLES: Mapping[str, Any] = {
    "BufferBody": {
        "revision": 12,
        "committed": 11,
        "digest": SHA256,
        "collections": ["site"],
        "unconfirmed": None,
    },
    "DifferencesBody": {
        "old": 11,
        "new": 12,
        "changes": [
            {
                "collection": "site",
                "document": _IDENTITY,
                "change": "modified",
                "moved_from": None,
                "paths": [{"path": ".data.units", "change": "modified", "old": 42, "new": 48}],
                "text": "-  units: 42\n+  units: 48\n",
            }
        ],
        "next": None,
    },
    "DocumentBody": {
        "schema": "shop/Rack/v1",
        "name": "rack-2",
        "layer": "site",
        "collection": "site",
        "revision": 12,
        "metadata": {"schema": "metadata/Document/v1", "name": "rack-2"},
        "data": {"units": 48},
        "redacted": False,
        "parent": None,
        "sources": [],
        "used_by": [],
        "provenance": None,
    },
    "RevisionBody": _REVISION,
    "RevisionList": page(_REVISION, 12),
    "RollbackRequest": {"over_buffer": True, "reason": "back to last week"},
    "SiteActionRequest": {"outcome": "success"},
    "Status": _STATUS,
    "TagRequest": {"data": {"ticket": "OPS-17"}},
}

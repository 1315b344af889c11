"""Every statement that reads or writes documents; each takes the connection that it uses."""

from staging_api.documents.rows.commits import (
    add_commit,
    committed_before,
    confirm,
    mark_undone,
    overdue,
    remove_tag,
    set_tag,
    unconfirmed,
)
from staging_api.documents.rows.contents import (
    add_content,
    add_key,
    bodies,
    keys,
    posted_text,
    reseal,
    sealed_by_others,
)
from staging_api.documents.rows.events import contradictions, events
from staging_api.documents.rows.revisions import (
    add_revision,
    change,
    find_revision,
    list_revisions,
    state,
    versions,
)

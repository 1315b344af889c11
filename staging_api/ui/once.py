"""Idempotent forms: an action runs once, however often its button is pressed.

The page contains a new key in the field ``once``, which works like the API's Idempotency-Key. The
location after the action is stored under it, in the table of kept responses, by the holder of the
key's lock: the same form sent again leads to the same location.

What if the process dies? During the action: the key's lock expires, and the form sent again does
the rest of the work. Before the location is stored: the same, and the work is already done.
"""

import hashlib
import json
from collections.abc import Callable

from staging_api.errors import IdempotencyKeyBusy, IdempotencyKeyReused, Invalid, LockHeld
from staging_api.locks.hold import Locks, RequestOrigin, hold
from staging_api.locks.model import IDEMPOTENCY
from staging_api.locks.responses import KeptResponse, KeptResponses
from staging_api.ui.screen import ActionDone, Form

_WAIT_SECONDS = 10.0
_SEE_OTHER = 303
#: Maximum number of characters of a key; ours have 26.
_LONGEST_KEY = 100


def done_once(
    locks: Locks, origin: RequestOrigin, form: Form, act: Callable[[], ActionDone]
) -> ActionDone:
    """Run `act`, or return its location if this form was sent before.

    Raises:
        Invalid: the key is too long.
        IdempotencyKeyBusy: the first request with this form is still running.
        IdempotencyKeyReused: the page's key was used before with other fields.
        StagingApiError: of `act`; nothing is stored, so the form can be sent again.
    """
    if len(form["once"]) > _LONGEST_KEY:
        raise Invalid.field("once", f"must be at most {_LONGEST_KEY} characters")
    key = f"page {form['once']}"
    digest = hashlib.sha256(json.dumps(dict(form), sort_keys=True).encode()).hexdigest()
    kept = KeptResponses(locks)
    # A space separates caller and key, so that a caller's name cannot match another's keys.
    scope = f"{origin.caller.replace('%', '%25').replace(' ', '%20')} {key}"
    # The key's lock is the outer one here: a second press waits for the first one's response.
    try:
        with hold(locks, IDEMPOTENCY, scope, origin, _WAIT_SECONDS) as held:
            found = kept.find(origin.caller, key)
            if found is None:
                done = act()
                answer = KeptResponse(digest, _SEE_OTHER, {"location": done.location}, b"")
                kept.keep(held, origin.caller, key, answer)
                return done
    except LockHeld as error:
        if error.extra["lock"]["kind"] != IDEMPOTENCY.name:
            raise
        raise IdempotencyKeyBusy(
            "this form was sent a moment ago, and is being worked on",
            retry_after_seconds=error.retry_after_seconds,
        ) from None
    if found.request_sha256 != digest:
        raise IdempotencyKeyReused("this form was sent before with other values: reload the page")
    return ActionDone(found.headers["location"])

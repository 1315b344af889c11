"""Links to the dashboard: a line ``see http://.../ui/...`` after a verb's output.

Only a service with a dashboard lists it in its links, and only output for people names pages.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from staging_api.cli.output import say
from staging_api.client import StagingClient
from staging_api.errors import StagingApiError

#: Timeout of the request for the links: a slow service should not be delayed by them.
_SECONDS = 2.0


def say_page(client: StagingClient, path: str, *, as_json: bool) -> None:
    """Print on standard error the URL of a page, such as ``/stagings/01...``, if there is one.

    Args:
        client: client of the service.
        path: path below the dashboard's own.
        as_json: if set, print nothing.
    """
    if not as_json and (address := page_of(client, path)):
        say(f"see {address}", err=True)


def page_of(client: StagingClient, path: str) -> str | None:
    """Return the URL of a page; None: the service has no dashboard, or does not answer."""
    try:
        dashboard = client.about(timeout=_SECONDS)["links"].get("dashboard")
    # Any error is ignored: a missing link is no reason to fail.
    except (StagingApiError, AttributeError, KeyError, TypeError):
        return None
    return f"{client.url}{dashboard}{quote(path)}" if isinstance(dashboard, str) else None


@contextmanager
def with_page(client: StagingClient) -> Iterator[StagingClient]:
    """Yield an open client; an error of the block gets a note with the page of its cause."""
    with client:
        try:
            yield client
        except StagingApiError as error:
            if address := _page_of_error(client, error):
                error.add_note(f"see {address}")
            raise


def _page_of_error(client: StagingClient, error: StagingApiError) -> str | None:
    """Return the page of the staging or lock that an error names, else of the error's code."""
    if staging_id := error.extra.get("staging_id"):
        return page_of(client, f"/stagings/{staging_id}")
    lock = error.extra.get("lock")
    if isinstance(lock, dict) and lock.get("id"):
        return page_of(client, f"/locks/{lock['id']}")
    # An operator may have a page of its own for errors: then it is an absolute URL.
    text = str(error.extra.get("help") or "")
    return f"{client.url}{text}" if text.startswith("/") else text or None

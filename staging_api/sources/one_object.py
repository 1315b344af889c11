"""Say of a URL that is an object's own which archive to ask for: the folder of that object."""

import re
from dataclasses import replace

from staging_api.sources.url import ArchiveUrl

#: Of a file, such as ``.zip``; builds mostly end in a number.
_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,5}")


def folder_to_ask_for(url: ArchiveUrl, count: int | None = None) -> str:
    """Name the archive that has an object, and the object; `count`: of segments of its URL."""
    segments = url.segments[:count]
    folder = replace(url, segments=segments[:-1]).canonical
    return f"an archive is a folder: ask for file:{segments[-1]} of {folder}"


def perhaps_one_object(url: ArchiveUrl) -> str:
    """Return what to add to "there is no such archive" if the URL looks like one of an object."""
    # With a query it is tried as one anyway.
    if url.has_query or not url.segments or not _ENDING.search(url.build):
        return ""
    return f"; if it is an object itself: {folder_to_ask_for(url)}"

"""Hints for URLs of single objects: name the folder as the archive to request instead."""

import re
from dataclasses import replace

from staging_api.sources.url import ArchiveUrl

#: Extension of a file, such as ``.zip``; names of builds usually end in a number.
_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,5}")


def folder_to_ask_for(url: ArchiveUrl, count: int | None = None) -> str:
    """Return a hint with archive and object; `count`: number of segments in the object's URL."""
    segments = url.segments[:count]
    folder = replace(url, segments=segments[:-1]).canonical
    return f"an archive is a folder: request file:{segments[-1]} of {folder}"


def perhaps_one_object(url: ArchiveUrl) -> str:
    """Return a suffix for "there is no such archive" if the URL looks like that of an object."""
    # A URL with a query has already been tried as an object.
    if url.has_query or not url.segments or not _ENDING.search(url.build):
        return ""
    return f"; if it is an object itself: {folder_to_ask_for(url)}"

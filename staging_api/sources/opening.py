"""Open the archive of a URL, whatever its scheme."""

from collections.abc import Callable, Mapping

from staging_api.sources import bucket, file, http
from staging_api.sources.allowlist import AllowList
from staging_api.sources.guarded import Guarded
from staging_api.sources.model import Source, SourceOptions
from staging_api.sources.url import ArchiveUrl

OPENERS: Mapping[str, Callable[[ArchiveUrl, AllowList, SourceOptions], Source]] = {
    "gs": bucket.open_gs,
    "s3": bucket.open_s3,
    "file": file.open_archive,
    "http": http.open_archive,
    "https": http.open_archive,
}

_OPTIONS = SourceOptions()


def open_archive(url: ArchiveUrl, allowed: AllowList, options: SourceOptions = _OPTIONS) -> Source:
    """Give read access to one archive; nothing is connected to before the first question.

    Raises:
        SourceNotAllowed: the allow-list does not cover it.
    """
    source = OPENERS[url.scheme](url, allowed, options)
    if url.local:
        return source
    return Guarded(source, f"{url.scheme}://{url.authority}", options.breakers)

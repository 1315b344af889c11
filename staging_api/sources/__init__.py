"""Sources of archives: one protocol, implemented by one module per scheme."""

from staging_api.sources.opening import open_archive

__all__ = ["open_archive"]

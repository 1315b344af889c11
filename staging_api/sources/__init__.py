"""Where archives come from: one small protocol, one module per scheme."""

from staging_api.sources.opening import open_archive

__all__ = ["open_archive"]

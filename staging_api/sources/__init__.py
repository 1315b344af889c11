"""Read archives at their sources: one protocol, one module per scheme."""

from staging_api.sources.opening import open_archive

__all__ = ["open_archive"]

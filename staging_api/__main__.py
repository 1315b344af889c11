"""``python -m staging_api``: the same as ``staging-api``."""

from staging_api.cli import main

main()

"""Command line: ``python -m benchmarks.documents [--rounds 9] [--copies 26]``."""

from benchmarks.documents.rendering import main

main()

"""Benchmarks of the document staging API."""

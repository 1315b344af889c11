"""Benchmarks side by side with named peers; see README.md."""

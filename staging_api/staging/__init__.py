"""Staging: one request for an archive's artifacts, and what became of each of them."""

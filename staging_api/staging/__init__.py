"""Staging: requests for the artifacts of an archive, and the state of each artifact."""

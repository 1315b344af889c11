"""Stages a build on this machine from end to end: `make demo`."""

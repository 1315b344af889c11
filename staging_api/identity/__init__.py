"""Identify callers: check a credential and derive a name and roles; no web framework here."""

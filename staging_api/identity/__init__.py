"""Identify callers: check a credential, return a name and roles; independent of web frameworks."""

"""Heartbeats: each process of the service writes a row while it runs, for people to read."""

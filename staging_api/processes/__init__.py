"""Processes of a deployment: how each is composed, starts, serves requests and ends."""

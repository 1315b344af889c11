"""Use cases for clients of the Chromium OS devserver: its semantics on top of staging."""

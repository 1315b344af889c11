"""What the clients of the Chromium OS devserver get: its semantics as use cases over staging."""

"""Unpack container files: one function per format, all under the same limits."""

"""Debian's file formats: .deb, .dsc, control stanzas, versions, compressed forms.

This package imports only itself and compression libraries. All input is treated as hostile, and
every refusal is a `FormatError`.
"""

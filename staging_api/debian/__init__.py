"""Debian's file formats: .deb, .dsc, control stanzas, versions, compressed forms.

This package imports only itself and libraries of compression. Every input is taken for hostile,
and every refusal is a `FormatError`.
"""

"""Rendering: layers, replacement and substitution, as pure functions over documents."""

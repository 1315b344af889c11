"""Debian's file formats, read and written: .deb, .dsc, control stanzas, versions, joined .xz."""

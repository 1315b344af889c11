"""Rendering: layers, replacement and substitution, as pure functions over documents."""

from staging_api.documents.rendering.engine import render
from staging_api.documents.rendering.model import RenderedDocument, Rendering
from staging_api.documents.rendering.tracing import Origin, Trace, TraceStep

__all__ = ["Origin", "RenderedDocument", "Rendering", "Trace", "TraceStep", "render"]

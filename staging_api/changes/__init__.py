"""What changed: topics, for pages that are open."""

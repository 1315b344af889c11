"""Change notices by topic, for open pages of the dashboard."""

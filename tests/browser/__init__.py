"""The pages of the dashboard in a real browser, with a busy service."""

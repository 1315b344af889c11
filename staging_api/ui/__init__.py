"""The dashboard: pages for people over the use cases and the permissions of the API."""

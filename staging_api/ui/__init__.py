"""The dashboard: pages for people, with the use cases and permissions of the API."""

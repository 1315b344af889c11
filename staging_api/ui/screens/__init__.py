"""One module per screen: it calls the services, and returns a template with its content."""

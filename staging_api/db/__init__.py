"""Tables, connections, migrations, and the embedded server."""

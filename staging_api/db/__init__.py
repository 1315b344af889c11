"""Tables, connections, migrations, and the use of the embedded server."""

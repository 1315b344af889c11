"""Tables, connections and the embedded server."""

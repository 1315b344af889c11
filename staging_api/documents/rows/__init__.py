"""Every statement that reads or writes documents; each takes the connection that it uses."""

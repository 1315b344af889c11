"""The rows of the publisher: every statement that reads or writes them."""
